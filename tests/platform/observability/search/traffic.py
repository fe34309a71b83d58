"""Makes the real service write log lines of every kind: with a healthy instance and with faulty ones."""

import contextlib
import http.server
import json
import socket
import threading

from harness.process import http_request, wait_until
from harness.shoutback import Emulators, Shoutback

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
# Secrets in lines that the service would not write: they must not be in the index.
SECRETS = ["eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl", "c2VjcmV0LXRva2VuLW9mLWFuLWFwcA"]

COMMON = {
    "REQUEST_TIMEOUT": "2s",
    "SHOUTCLOUD_DEADLINE": "1500ms",
    "SHOUTCLOUD_ATTEMPT_TIMEOUT": "500ms",
    "BREAKER_SLOW_CALL": "500ms",
    "MAX_BODY_BYTES": "1KiB",
    "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test,k8s.pod.name=shoutback-0",
}


class Caller:
    """A client of one instance, without connection reuse."""

    def __init__(self, shoutback, token=None):
        self.shoutback = shoutback
        self.headers = {"content-type": "application/json"}
        if token:
            self.headers["authorization"] = f"Bearer {token}"

    def shout(self, text="text", method="POST", path="/v1", **headers):
        headers = self.headers | {name.replace("_", "-"): value for name, value in headers.items() if value}
        body = text if isinstance(text, bytes) else {"data": text}
        return http_request(method, f"http://{self.shoutback.address}{path}", body, headers)[0]


class Files:
    """The log files of an instance; `lines` has those on stdout."""

    def __init__(self, root, name):
        self.directory = root / name
        self.directory.mkdir()
        self.log = root / f"{name}.stdout"
        self.variables = {"LOG_FILE": str(self.directory / "shoutback.log")}

    def lines(self):
        """Returns the complete lines: the last one may be partial."""
        return [json.loads(line) for line in self.log.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def count(self, field, value):
        return sum(line.get(field) == value for line in self.lines())


def serve(files, emulators, **variables):
    url = f"http://{emulators.shoutcloud}/V1/SHOUT"
    return Shoutback(files.log, **COMMON | {"SHOUTCLOUD_URL": url} | files.variables | emulators.authentication() | variables)


def healthy(root):
    """Successes and some rejections, enough to rotate the file."""
    files = Files(root, "healthy")
    with Emulators(root / "healthy.emulators") as emulators, serve(files, emulators, LOG_FILE_MAX_BYTES="256KiB") as shoutback:
        caller = Caller(shoutback, emulators.token())
        for number in range(120):
            assert caller.shout(f"text {number % 80}") == 200
        assert caller.shout("") == 200
        assert Caller(shoutback).shout() == 401
        shoutback.stop()
    return files


def ailing(root):
    """Every kind of rejection, and an upstream that fails, stalls and responds wrongly."""
    files = Files(root, "ailing")
    variables = {
        "BREAKER_MIN_CALLS": "5",
        "BREAKER_OPEN_FOR": "300ms",
        "BREAKER_PROBES": "1",
        "CACHE_STALE_IF_ERROR": "0ms",
        "RATE_LIMIT_PER_CLIENT": "1000/s",
        "SHOUTCLOUD_RETRY_RESERVE": "1000",
    }
    with Emulators(root / "ailing.emulators") as emulators, serve(files, emulators, **variables) as shoutback:
        caller = Caller(shoutback, emulators.token())
        assert caller.shout("before", x_request_id="one-of-many") == 200
        refuse(caller)
        go_away(shoutback, caller, emulators)
        emulators.behave(delay="10s")
        assert caller.shout("stalled") in (503, 504)
        emulators.behave(failure_rate=1.0)
        while files.count("shoutback.breaker.to", "open") == 0:
            assert caller.shout("failed") >= 500
        for _ in range(25):
            assert caller.shout("while it fails") >= 500
        emulators.behave()
        wait_until("the breaker closes", lambda: caller.shout("after") == 200)
        shoutback.stop()
    return files


def refuse(caller):
    shoutback = caller.shoutback
    assert caller.shout(b"{") in (400, 415)
    assert caller.shout(b"\xff", content_type="text/plain") in (400, 415)
    assert caller.shout(content_type="application/xml") == 415
    assert caller.shout(accept="image/png") == 406
    assert caller.shout(expect="100-continue, more") == 417
    assert caller.shout("x" * 2000) == 413
    assert caller.shout(method="DELETE") == 405
    assert caller.shout(path="/nowhere") == 404
    assert Caller(shoutback).shout() == 401
    assert Caller(shoutback, SECRETS[0]).shout() == 401
    # A body that is not sent.
    with socket.create_connection(("127.0.0.1", shoutback.port)) as slow:
        slow.sendall(head(caller, 10))
        assert slow.recv(12) == b"HTTP/1.1 408"


def head(caller, length):
    headers = caller.headers | {"host": "x", "content-length": str(length)}
    return "".join(["POST /v1 HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in headers.items()), "\r\n"]).encode()


def go_away(shoutback, caller, emulators):
    emulators.behave(delay="400ms")
    body = b'{"data": "the client disconnects"}'
    with socket.create_connection(("127.0.0.1", shoutback.port)) as client:
        client.sendall(head(caller, len(body)) + body)
        shoutback.until("the request is there", lambda: shoutback.active_requests() == 1)
    shoutback.until("it is over", lambda: shoutback.active_requests() == 0)
    emulators.behave()


def restricted(root):
    """An exhausted quota, an upstream that responds wrongly, and keys that can no longer be fetched."""
    files = Files(root, "restricted")
    with contextlib.ExitStack() as stack:
        emulators = stack.enter_context(Emulators(root / "restricted.emulators"))
        liar = stack.enter_context(Liar())
        variables = {"RATE_LIMIT_PER_CLIENT": "1/h", "RATE_LIMIT_BURST": "2", "COGNITO_JWKS_REFRESH": "200ms", "SHOUTCLOUD_URL": liar.url}
        shoutback = stack.enter_context(serve(files, emulators, **variables))
        caller = Caller(shoutback, emulators.token())
        assert [caller.shout(f"lie {number}") for number in range(3)] == [502, 502, 429]
        emulators.end()
        shoutback.until("keys cannot be fetched", lambda: files.count("event.action", "key-refresh") > 3)
        shoutback.stop()
    return files


def forbidden(root):
    """A token without the required group."""
    files = Files(root, "forbidden")
    with Emulators(root / "forbidden.emulators") as emulators:
        with serve(files, emulators, AUTH_ALLOWED_GROUPS="operators") as shoutback:
            assert Caller(shoutback, emulators.token()).shout() == 403
            shoutback.stop()
    return files


class Liar:
    """A fake SHOUTCLOUD that responds with 200 and an invalid body."""

    def __enter__(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["content-length"]))
                body = b'{"OUTPUT": "not that"}'
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/V1/SHOUT"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def handwritten(root, like):
    """Returns lines that a healthy service does not write."""
    files = Files(root, "handwritten")
    line = {name: like[name] for name in ("@timestamp", "event.dataset", "service.name", "service.version", "ecs.version")}
    line |= {"log.level": "warn", "log.logger": "shoutback", "service.node.name": "shoutback-0", "service.environment": "test"}
    texts = [
        json.dumps(line | {"message": "traced", "trace.id": TRACE, "span.id": "00f067aa0ba902b7"}),
        json.dumps(line | {"message": "traced too", "trace.id": TRACE, "span.id": "00f067aa0ba902b8"}),
        json.dumps(line | {"message": f"sent authorization: Bearer {SECRETS[1]}"}),
        json.dumps(line | {"message": "hidden", "unknown.field": {"this": [f"a field {SECRETS[0]}"]}}),
        json.dumps(line | {"message": "a header", "http.request.headers.authorization": SECRETS[1]}),
        json.dumps(line | {"message": "a user", "user.name": SECRETS[1]}),
        json.dumps(line | {"message": f"rejected Basic {SECRETS[1]}"}),
        json.dumps(line | {"message": "wrong types", "event.duration": "long"}),
        f'{{"message": "torn {SECRETS[0]}',
        "not JSON at all",
        "[]",
        json.dumps(line | {"message": "conflict", "event": "text"}),
        json.dumps(line | {"message": "a panic", "event.action": "panic", "event.kind": "event"}),
        json.dumps(line | {"message": "a stop", "event.action": "stop", "event.kind": "event", "shoutback.stop.cut_off": 3}),
        '{"event": "of another shape"}',
        '{"http": "of another shape"}',
        '{"message": {"is": "of another shape"}}',
        '{"message": ["text", {"is": "of another shape"}]}',
    ]
    (files.directory / "shoutback.log").write_text("".join(f"{text}\n" for text in texts))
    return files
