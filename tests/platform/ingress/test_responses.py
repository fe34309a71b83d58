"""What clients notice of NGINX in front of the service, with the shipped settings of each environment."""

import asyncio
import re
import socket
import ssl

import httpx
import pytest

import manifests
from harness.http2 import END_HEADERS, HEADERS, Http2, Response, frame
from harness.process import wait_until

PROBLEM = "application/problem+json"
OWN_ID = re.compile("[0-9a-f]{32}")


@pytest.mark.parametrize("http2", [False, True])
def test_a_shout_over_tls(edge, texts, http2):
    text = next(texts)
    response = edge.shout(text, http2=http2)
    assert (response.status_code, response.text) == (200, text[::-1].upper())
    assert response.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
    # The version would reveal its vulnerabilities.
    assert response.headers["server"] == "nginx"


def test_weak_ciphers_and_unknown_hosts_are_rejected(edge, tls):
    def handshake(context, name):
        with socket.create_connection(("127.0.0.1", edge.https.port), timeout=30) as connection:
            with context.wrap_socket(connection, server_hostname=name) as session:
                return session.version(), session.cipher()[0]

    assert handshake(tls(), manifests.HOST)[0] == "TLSv1.3"
    with pytest.raises(ssl.SSLError):
        handshake(tls(), "other.example.com")

    older = tls()
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    assert handshake(older, manifests.HOST)[0] == "TLSv1.2"
    # It is in NGINX's default list, but has no authenticated encryption.
    older.set_ciphers("ECDHE-ECDSA-AES128-SHA256")
    with pytest.raises(ssl.SSLError):
        handshake(older, manifests.HOST)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_plain_http_is_redirected(edge, method):
    response = edge.call(method, "/v1?x=1", plain=True, content=b"text")
    assert (response.status_code, response.headers["location"]) == (308, f"https://{manifests.HOST}:443/v1?x=1")


def test_browsers_get_hsts(shipped):
    expected = f"max-age={shipped.annotation('hsts-max-age')}; preload"
    too_long = b"x" * (int(shipped.annotation("client-max-body-size")) + 1)
    for response in (shipped.edge.shout("x"), shipped.edge.call("GET", "/nowhere"), shipped.edge.shout(too_long)):
        assert response.headers.get_list("strict-transport-security") == [expected]


def in_chunks(body):
    yield body[:1000]
    yield body[1000:]


def test_the_body_limit_equals_that_of_the_service(shipped):
    limit = int(shipped.annotation("client-max-body-size"))

    def statuses(post):
        return [post(b"x" * limit), post(b"x" * (limit + 1))]

    def directly(body):
        headers = {"content-type": "text/plain"}
        return httpx.post(shipped.replica.url, content=body, headers=headers, trust_env=False, timeout=60).status_code

    def at_once(body):
        return shipped.edge.shout(body).status_code

    def piecemeal(body):
        return shipped.edge.shout(in_chunks(body)).status_code

    def piecemeal_in_http2(body):
        return shipped.edge.shout(in_chunks(body), http2=True).status_code

    for post in (directly, at_once, piecemeal, piecemeal_in_http2):
        assert statuses(post) == [200, 413], post
    assert shipped.edge.shout(b"x" * limit, http2=True).status_code == 200
    # It gets the status before it sends the body. (httpx would wait for the window to send the rest.)
    assert asyncio.run(announced(shipped.edge, limit + 1)) == 413


async def announced(edge, length):
    """Returns the status of an HTTP/2 request that declares a body of that length and does not send it."""
    connection = await Http2.connect("127.0.0.1", edge.https.port, edge.tls("h2"), manifests.HOST)
    pseudo = [(":method", "POST"), (":scheme", "https"), (":authority", manifests.HOST), (":path", "/v1")]
    fields = [*pseudo, ("content-type", "text/plain"), ("content-length", str(length))]
    response = connection.responses[1] = Response()
    connection.writer.write(frame(HEADERS, END_HEADERS, 1, connection.encoder.encode(fields)))
    await response.done
    connection.close()
    return response.status


@pytest.mark.parametrize("http2", [False, True])
def test_nginxs_own_responses_are_problems(shipped, http2):
    def shout(**options):
        return shipped.edge.shout(in_chunks(too_long), http2=http2, **options)

    too_long = b"x" * (int(shipped.annotation("client-max-body-size")) + 1)
    response = shout(headers={"x-request-id": "abc.~:-_Z9"})
    assert (response.status_code, response.headers["content-type"]) == (413, PROBLEM)
    assert response.json() == {
        "type": "/docs#content-too-large",
        "title": "Content Too Large",
        "status": 413,
        "detail": "The body exceeds the API's limit.",
        "instance": "/requests/abc.~:-_Z9",
    }
    assert response.headers["x-request-id"] == "abc.~:-_Z9"
    assert response.headers["cache-control"] == "no-store"
    assert "retry-after" not in response.headers

    # An invalid id could inject JSON.
    for hostile in ['","status":"200', "x" * 129, "a b", "ü"]:
        response = shout(headers=[("x-request-id", hostile.encode())])
        assert OWN_ID.fullmatch(response.headers["x-request-id"])
        assert response.json()["instance"] == f"/requests/{response.headers['x-request-id']}"


def test_problems_of_the_service_pass_unchanged(edge):
    """No header is duplicated."""
    response = edge.call("GET", "/nowhere")
    assert response.json()["type"] == "/docs#not-found"
    response = edge.call("PUT", "/v1")
    assert (response.status_code, response.json()["type"]) == (405, "/docs#method-not-allowed")
    for response in (edge.call("GET", "/nowhere"), edge.shout("x")):
        for name in ("x-request-id", "cache-control", "strict-transport-security"):
            assert len(response.headers.get_list(name)) <= 1, name
        assert response.headers["x-request-id"]
        assert "retry-after" not in response.headers


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json"])
def test_the_public_listener_is_served(edge, path):
    assert edge.call("GET", path).status_code == (307 if path == "/" else 200)


@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/livez", "/version"])
@pytest.mark.parametrize("headers", [{}, {"host": "127.0.0.1:9090"}])
def test_the_admin_listener_is_not(edge, path, headers):
    assert edge.call("GET", path, headers=headers).status_code == 404


def test_headers_up_to_the_limit_of_the_service(edge):
    """A token of 8 KiB, which does not fit into NGINX's default buffers, and 60 KiB altogether."""
    headers = {"authorization": f"Bearer {'x' * 8192}"} | {f"x-{number}": "y" * 10000 for number in range(5)}
    for http2 in (False, True):
        assert edge.shout("x", http2=http2, headers=headers).status_code == 200
    response = edge.shout("x", headers={f"x-{number}": "y" * 10000 for number in range(9)})
    assert (response.status_code, response.headers["content-type"]) == (431, PROBLEM)
    assert response.json()["title"] == "Request Header Fields Too Large"


def test_ids_and_traces_are_forwarded(shipped, texts):
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    headers = {"x-request-id": "from-the-caller", "traceparent": f"00-{trace}-{span}-01"}
    with shipped.edge.logged() as lines:
        response = shipped.edge.shout(next(texts), headers=headers)
    assert response.headers["x-request-id"] == "from-the-caller"
    assert logged_by(shipped.replica, "from-the-caller")["trace.id"] == trace
    assert [(line["http.request.id"], line["trace.id"]) for line in lines] == [("from-the-caller", trace)]


def test_the_service_generates_a_missing_id(shipped, texts):
    with shipped.edge.logged() as lines:
        response = shipped.edge.shout(next(texts))
    request_id = response.headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", request_id)
    # The request id of the line leads to the trace that the service started.
    assert logged_by(shipped.replica, request_id)["trace.id"]
    assert [(line["http.request.id"], line["trace.id"]) for line in lines] == [(request_id, "")]


def logged_by(replica, request_id):
    """Returns the only log line of the replica about a request."""

    def lines():
        return [line for line in replica.requests() if line["http.request.id"] == request_id]

    (line,) = wait_until("the replica has logged the request", lines)
    return line
