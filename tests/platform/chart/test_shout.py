"""Runs the script of `helm test` with a shell and curl against the real service."""

import http.server
import shutil
import subprocess
import threading

import pytest
from rendering import EVERYTHING, ci

from harness.process import ENVIRONMENT
from harness.shoutback import Emulators, Shoutback

SHELLS = [shell for shell in ("sh", "bash", "dash", "busybox") if shutil.which(shell)]
BY_CREDENTIALS, WITHOUT_TOKEN = EVERYTHING, ci("development")
BY_TOKEN = EVERYTHING.but({"tests": {"tokenSecret": {"name": "shoutback-token"}}})


@pytest.fixture(scope="module")
def emulators(tmp_path_factory):
    with Emulators(tmp_path_factory.mktemp("emulators") / "log") as emulators:
        yield emulators


@pytest.fixture(scope="module")
def service(emulators, tmp_path_factory):
    variables = emulators.authentication() | {"SHOUTCLOUD_URL": f"http://{emulators.shoutcloud}/V1/SHOUT"}
    with Shoutback(tmp_path_factory.mktemp("service") / "log", **variables) as service:
        yield service


@pytest.fixture(scope="module")
def open_service(emulators, tmp_path_factory):
    with Shoutback(
        tmp_path_factory.mktemp("open") / "log", SHOUTCLOUD_URL=f"http://{emulators.shoutcloud}/V1/SHOUT"
    ) as service:
        yield service


@pytest.fixture
def secrets(emulators):
    return {
        "shoutback-test": {"client-id": emulators.client_id, "client-secret": emulators.secret},
        "shoutback-token": {"token": emulators.token()},
    }


def run(rendering, secrets, changed, shell="sh", path=None):
    """Runs the pod's command with its environment, overridden by `changed`. Returns the exit code and the output."""
    [pod] = rendering.test_pods
    [container] = pod["spec"]["containers"]
    assert container["command"] == ["sh", "-c"]
    environment = dict(ENVIRONMENT)
    for entry in container["env"]:
        if "value" in entry:
            environment[entry["name"]] = entry["value"]
        else:
            reference = entry["valueFrom"]["secretKeyRef"]
            environment[entry["name"]] = secrets[reference["name"]][reference["key"]]
    assert changed.keys() <= environment.keys()
    if path:
        environment["PATH"] = f"{path}:{environment['PATH']}"
    shells = [shell, "sh"] if shell == "busybox" else [shell]
    result = subprocess.run(
        [*shells, "-c", *container["args"]], env=environment | changed, capture_output=True, text=True, timeout=60
    )
    return result.returncode, result.stdout + result.stderr


@pytest.mark.parametrize("shell", SHELLS)
class TestItSucceeds:
    def test_with_credentials(self, shell, service, emulators, secrets):
        changed = {"URL": service.url, "TOKEN_URL": f"{emulators.cognito}/oauth2/token"}
        assert run(BY_CREDENTIALS, secrets, changed, shell) == (0, f"ok: {service.url} shouts\n")

    def test_with_a_token(self, shell, service, secrets):
        assert run(BY_TOKEN, secrets, {"URL": service.url}, shell) == (0, f"ok: {service.url} shouts\n")

    def test_without_a_token_if_authentication_is_disabled(self, shell, open_service):
        assert run(WITHOUT_TOKEN, {}, {"URL": open_service.url}, shell) == (0, f"ok: {open_service.url} shouts\n")


def test_it_bypasses_the_cache(service, emulators, secrets):
    before = emulators.calls()
    for _ in range(2):
        assert run(BY_TOKEN, secrets, {"URL": service.url})[0] == 0
    assert emulators.calls() == before + 2


class TestItFails:
    def test_without_a_good_token(self, service, secrets):
        token = secrets["shoutback-token"]["token"]
        code, output = run(BY_TOKEN, secrets | {"shoutback-token": {"token": token[:-4] + "AAAA"}}, {"URL": service.url})
        assert code == 1 and output.startswith("FAILED: ") and output.endswith("\n401\n")

    def test_without_any_token(self, service):
        code, output = run(WITHOUT_TOKEN, {}, {"URL": service.url})
        assert code == 1 and output.endswith("\n401\n")

    def test_with_a_wrong_secret(self, service, emulators, secrets):
        secrets["shoutback-test"]["client-secret"] = "not-the-secret"
        code, output = run(BY_CREDENTIALS, secrets, {"URL": service.url, "TOKEN_URL": f"{emulators.cognito}/oauth2/token"})
        assert code == 1 and "are the client's id and secret right" in output and "not-the-secret" not in output

    def test_with_a_scope_that_the_client_lacks(self, service, emulators, secrets):
        changed = {"URL": service.url, "TOKEN_URL": f"{emulators.cognito}/oauth2/token", "SCOPE": "other/scope"}
        code, output = run(BY_CREDENTIALS, secrets, changed)
        assert code == 1 and "other/scope" in output

    def test_if_the_port_is_closed(self, service, secrets):
        with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
            url = f"http://127.0.0.1:{server.server_port}/v1"
        code, output = run(BY_TOKEN, secrets, {"URL": url})
        assert code == 1 and f"{url} does not respond" in output

    def test_while_shoutcloud_fails(self, open_service, emulators):
        emulators.behave(failure_rate=1.0)
        try:
            code, output = run(WITHOUT_TOKEN, {}, {"URL": open_service.url})
        finally:
            emulators.behave()
        assert code == 1 and output.endswith("\n503\n")

    @pytest.mark.parametrize(
        ("status", "body"),
        [(200, "!dlrow ,olleh"), (200, "!DLROW ,OLLEH\n"), (200, ""), (201, "!DLROW ,OLLEH"), (503, "!DLROW ,OLLEH")],
    )
    def test_for_any_other_response(self, status, body):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            code, output = run(WITHOUT_TOKEN, {}, {"URL": f"http://127.0.0.1:{server.server_port}/v1"})
            server.shutdown()
        assert code == 1 and output.startswith("FAILED: ")

    def test_for_a_response_without_a_token(self, service, secrets):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            changed = {"URL": service.url, "TOKEN_URL": f"http://127.0.0.1:{server.server_port}/oauth2/token"}
            code, output = run(BY_CREDENTIALS, secrets, changed)
            server.shutdown()
        assert code == 1 and "without an access_token" in output


def test_no_secret_is_an_argument_of_a_process(tmp_path, emulators, secrets):
    curl = tmp_path / "curl"
    curl.write_text(f"""#!/bin/sh
printf '%s\\n' "$@" >>{tmp_path}/arguments
cat >>{tmp_path}/input
case "$*" in *grant_type*) printf '{{"access_token":"abc.def.ghi"}}' ;; *) printf '!DLROW ,OLLEH\\n200' ;; esac
""")
    curl.chmod(0o755)
    code, output = run(BY_CREDENTIALS, secrets, {}, path=tmp_path)
    assert code == 0, output
    arguments, stdin = (tmp_path / "arguments").read_text(), (tmp_path / "input").read_text()
    for secret in (emulators.secret, emulators.client_id, "abc.def.ghi"):
        assert secret in stdin and secret not in arguments
    # Cognito requires spaces between them.
    assert "scope=shoutback/shout" in arguments.splitlines()
    assert "https://shoutback.auth.us-east-2.amazoncognito.com/oauth2/token" in arguments.splitlines()


class TestThePod:
    def test_it_calls_the_service_of_the_release(self):
        [pod] = EVERYTHING.test_pods
        url = next(entry["value"] for entry in pod["spec"]["containers"][0]["env"] if entry["name"] == "URL")
        service = EVERYTHING.service("api")
        assert url == f"http://{service['metadata']['name']}.{EVERYTHING.namespace}/v1"
        assert service["spec"]["ports"][0]["port"] == 80

    def test_it_is_omitted_without_a_token(self):
        assert ci("minimal").test_pods == []

    def test_it_needs_no_token_without_authentication(self):
        [pod] = WITHOUT_TOKEN.test_pods
        assert [entry["name"] for entry in pod["spec"]["containers"][0]["env"]] == ["URL"]

    def test_several_scopes_are_requested_together(self):
        rendering = EVERYTHING.but({"config": {"AUTH_REQUIRED_SCOPES": "shoutback/shout, shoutback/whisper"}})
        [scope] = [e["value"] for e in rendering.test_pods[0]["spec"]["containers"][0]["env"] if e["name"] == "SCOPE"]
        assert scope == "shoutback/shout shoutback/whisper"
