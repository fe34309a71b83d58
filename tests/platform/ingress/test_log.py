"""NGINX's access log: lines are valid JSON for any input, and contain no secrets."""

import json
import socket

import pytest

import manifests
from harness.process import wait_until

SECRET = b"hunter2"

# Complete requests, except for the host.
HOSTILE = {
    "an agent that writes JSON": b'GET /v1 HTTP/1.1\r\nhost: HOST\r\nuser-agent: ","url.path":"/\\\r\n\r\n',
    "an agent that is no UTF-8": b"GET /v1 HTTP/1.1\r\nhost: HOST\r\nuser-agent: \xff\xfe\xc3\x28\r\n\r\n",
    "an endless agent": b"GET /v1 HTTP/1.1\r\nhost: HOST\r\nuser-agent: " + b"x" * 9000 + b"\r\n\r\n",
    "a query": b"GET /v1?token=" + SECRET + b" HTTP/1.1\r\nhost: HOST\r\n\r\n",
    "a path": b"GET /" + SECRET + b"/%00%ff%22%0a HTTP/1.1\r\nhost: HOST\r\n\r\n",
    "a page's path": b"GET /docs/" + b"%22%0a" + SECRET + b"%ff HTTP/1.1\r\nhost: HOST\r\n\r\n",
    "a path that is no UTF-8": b"GET /\xff\xfe HTTP/1.1\r\nhost: HOST\r\n\r\n",
    "a method": b"HUNTER_TWO /v1 HTTP/1.1\r\nhost: HOST\r\n\r\n",
    "another host": b"GET /v1 HTTP/1.1\r\nhost: \xc3\x28" + SECRET + b"\r\n\r\n",
    "no host": b"GET /v1 HTTP/1.1\r\n\r\n",
    "an id": b"GET /v1 HTTP/1.1\r\nhost: HOST\r\nx-request-id: \",\xff\"\r\n\r\n",
    "a trace": b'GET /v1 HTTP/1.1\r\nhost: HOST\r\ntraceparent: 00-","x":"\xff-00f067aa0ba902b7-01\r\n\r\n',
    "an old version": b"GET /v1\r\n",
    "a new version": b"GET /v1 HTTP/1.7\r\nhost: HOST\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\xff" + SECRET + b"\r\n\r\n",
    "a token": b"POST /v1 HTTP/1.1\r\nhost: HOST\r\nauthorization: Bearer " + SECRET + b"\r\ncontent-length: 7\r\n\r\n" + SECRET,
    "a referrer, a cookie": b"GET / HTTP/1.1\r\nhost: HOST\r\nreferer: " + SECRET + b"\r\ncookie: a=" + SECRET + b"\r\n\r\n",
    "half a head": b"GET /v1 HTTP/1.1\r\nhost: HOST\r\nx: ",
    "half a body": b"POST /v1 HTTP/1.1\r\nhost: HOST\r\ncontent-length: 100\r\n\r\nhalf",
}


@pytest.fixture
def session(edge, tls):
    """Returns a connection to NGINX over TLS."""
    with socket.create_connection(("127.0.0.1", edge.https.port), timeout=30) as connection:
        with tls().wrap_socket(connection, server_hostname=manifests.HOST) as session:
            yield session


@pytest.mark.parametrize("what", HOSTILE)
def test_a_line_is_valid_json_for_any_input(edge, session, what):
    before = len(edge.nginx.access_log())
    session.sendall(HOSTILE[what].replace(b"HOST", manifests.HOST.encode()))
    if not what.startswith("half"):
        session.recv(65536)
    session.close()
    wait_until("NGINX has logged it", lambda: len(edge.nginx.access_log()) > before)

    with edge.logged() as usual:
        edge.shout("usual")
    for line in edge.nginx.access_log():
        assert SECRET not in line and b"usual" not in line
        # Fails for invalid UTF-8 and for duplicate names, too.
        fields = json.loads(line, object_pairs_hook=without_duplicates)
        assert fields.keys() == usual[0].keys()
        assert [type(value) for value in fields.values()] == [type(value) for value in usual[0].values()]


def without_duplicates(pairs):
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


def test_the_fields_of_a_line(shipped):
    edge = shipped.edge
    edge.https.client = "203.0.113.77"
    with edge.logged() as lines:
        response = edge.shout("fields of a line", http2=True)
    (line,) = lines
    times = {"@timestamp": "", "nginx.upstream.seconds": "", "nginx.upstream.connect_seconds": "", "nginx.request.seconds": 0}
    assert line | times == {
        "@timestamp": "",
        "ecs.version": "8.11.0",
        "event.dataset": "nginx.access",
        "service.name": "nginx-ingress",
        "http.request.method": "POST",
        "http.request.id": response.headers["x-request-id"],
        "http.request.bytes": line["http.request.bytes"],
        "http.response.status_code": "200",
        "http.response.bytes": line["http.response.bytes"],
        "http.version": "2",
        "url.domain": manifests.HOST,
        "url.path": "/v1",
        "trace.id": "",
        "client.ip": "203.0.113.77",
        "source.ip": "127.0.0.1",
        "user_agent.original": edge.agent,
        "tls.version": "1.3",
        "nginx.request.seconds": 0,
        "nginx.limit_req": "PASSED",
        "nginx.upstream.address": shipped.replica.address,
        "nginx.upstream.status": "200",
        "nginx.upstream.seconds": "",
        "nginx.upstream.connect_seconds": "",
        "nginx.ingress": "shoutback/shoutback",
    }
    # Both have the same clock and start. The request time has another clock and resolution, so the two have no fixed order.
    assert 0 <= float(line["nginx.upstream.connect_seconds"]) <= float(line["nginx.upstream.seconds"])
    assert line["nginx.request.seconds"] >= 0


def test_nginxs_own_responses_are_found_by_their_ids(shipped):
    edge = shipped.edge
    with edge.logged() as lines:
        response = edge.shout(iter([b"x" * (int(shipped.annotation("client-max-body-size")) + 1)]))
    (line,) = lines
    assert line["http.response.status_code"] == "413"
    assert f"/requests/{line['http.request.id']}" == response.json()["instance"]
    assert line["nginx.upstream.status"] == ""


@pytest.mark.parametrize(
    ("traceparent", "logged"),
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", ""),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", ""),
        ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", ""),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x", ""),
        ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", ""),
    ],
)
def test_only_valid_traceparents_are_logged(shipped, traceparent, logged):
    with shipped.edge.logged() as lines:
        response = shipped.edge.shout("a trace", headers={"traceparent": traceparent})
    assert [line["trace.id"] for line in lines] == [logged]
    request_id = response.headers["x-request-id"]

    def own():
        return [line for line in shipped.replica.requests() if line["http.request.id"] == request_id]

    (line,) = wait_until("the replica has logged it", own)
    assert (line["trace.id"] == "4bf92f3577b34da6a3ce929d0e0e4736") == bool(logged)


def test_bodies_are_not_written_to_disk(shipped):
    """NGINX logs a warning when it writes a request or response body to a file."""
    limit = int(shipped.annotation("client-max-body-size"))
    for http2 in (False, True):
        for body in (b"x" * limit, iter([b"x" * 1000] * (limit // 1000))):
            assert shipped.edge.shout(body, http2=http2).status_code == 200
    assert "temporary file" not in shipped.edge.nginx.output()
