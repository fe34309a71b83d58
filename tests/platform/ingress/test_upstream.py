"""Requests that reach the replicas, and responses when a replica fails."""

import contextlib
import re
import threading
import time

import pytest

import manifests
from backends import Quitter, Recorder
from harness.process import wait_until
from nginx import free_port
from relays import Witness

PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def recorded(edges):
    with Recorder() as recorder:
        yield edges("production", [recorder.address]), recorder


def test_headers_about_the_client(recorded):
    edge, recorder = recorded
    edge.https.client = "203.0.113.50"
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = {"traceparent": trace, "tracestate": "a=1,b=2", "baggage": "k=v", "x-request-id": "mine", "authorization": "Bearer t"}
    forged = {"x-forwarded-for": "192.0.2.1", "x-real-ip": "192.0.2.2", "x-forwarded-proto": "http", "x-forwarded-host": "evil"}
    assert edge.shout("x", headers=headers | forged).status_code == 200
    received = recorder.requests[-1]
    for name, value in headers.items():
        assert received.get_all(name) == [value]
    assert received.get_all("host") == [manifests.HOST]
    assert received.get_all("x-real-ip") == ["203.0.113.50"]
    # The client's own value comes first; the last address is the real one.
    assert received.get_all("x-forwarded-for") == ["192.0.2.1, 203.0.113.50"]
    assert received.get_all("x-forwarded-proto") == ["https"]
    assert received.get_all("x-forwarded-host") == [manifests.HOST]


def test_no_other_headers_are_added(recorded):
    edge, recorder = recorded
    assert edge.shout("x").status_code == 200
    for name in ("x-request-id", "traceparent", "tracestate"):
        assert recorder.requests[-1].get_all(name) is None


@contextlib.contextmanager
def in_the_background(*calls):
    """Yields a list of the results of the calls, which is complete at the end of the `with` block."""
    results = [None] * len(calls)

    def run(index, call):
        results[index] = call()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    yield results
    for thread in threads:
        thread.join()


def test_a_post_is_not_retried_on_another_replica(edges):
    with Quitter() as first, Quitter() as second:
        edge = edges("production", [first.address, second.address])
        for http2 in (False, True):
            response = edge.shout("x", http2=http2)
            assert (response.status_code, response.headers["content-type"]) == (502, PROBLEM)
            assert response.json()["type"] == "about:blank"
            assert response.headers["retry-after"] == "1"
            assert f"/requests/{response.headers['x-request-id']}" == response.json()["instance"]
        assert first.received + second.received == 2


def test_a_killed_replica_fails_one_request(edges, replicas, shoutcloud, texts):
    """The request is not retried, so SHOUTCLOUD is called only once."""
    both = [replicas(), replicas()]
    edge = edges("production", [replica.address for replica in both])
    shoutcloud.behave(delay="30s")
    before = shoutcloud.calls()
    with in_the_background(lambda: edge.shout(next(texts))) as responses:
        wait_until("SHOUTCLOUD is called", lambda: shoutcloud.calls() > before)
        (dying,) = [replica for replica in both if replica.active_requests()]
        dying.child.kill()
    assert [response.status_code for response in responses] == [502]
    (other,) = [replica for replica in both if replica is not dying]
    assert other.metric("http_server_request_duration_seconds_count", http_route="/v1") == 0
    assert shoutcloud.calls() == before + 1
    # The other replica got no request.
    shoutcloud.behave()
    assert edge.shout(next(texts)).status_code == 200


def test_an_unsent_request_is_retried_on_another_replica(edges, replicas):
    """For replicas that have exited before NGINX removes their addresses."""
    exited = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    edge = edges("production", [*exited, replicas().address])
    for http2 in (False, True):
        assert {edge.shout("", http2=http2).status_code for _ in range(10)} == {200}
    attempts = [line["nginx.upstream.status"] for line in edge.nginx.requests()]
    assert any("502" in attempt for attempt in attempts), attempts


def test_without_a_replica_the_response_is_a_problem(edges):
    edge = edges("production", [])
    response = edge.shout("x")
    assert (response.status_code, response.headers["content-type"]) == (502, PROBLEM)
    assert response.json()["title"] == "Bad Gateway"
    assert response.headers.get_list("strict-transport-security")


SHORT = {"SHOUTCLOUD_ATTEMPT_TIMEOUT": "1800ms", "SHOUTCLOUD_DEADLINE": "1800ms", "BREAKER_SLOW_CALL": "1800ms"}


def test_the_services_timeout_is_shorter_than_nginxs(edges, replicas, shoutcloud, texts):
    """The request takes almost all of the service's timeout."""
    shoutcloud.behave(delay="30s")
    config = SHORT | {"REQUEST_TIMEOUT": "2s"}
    edge = edges("production", [replicas(**config).address], config=config)
    response = edge.shout(next(texts))
    assert (response.status_code, response.json()["type"]) == (504, "/docs#upstream-timeout")
    assert "upstream" in response.headers["server-timing"]


def test_nginx_times_out_in_the_end(edges):
    with Quitter(blocked=True) as hanging:
        # NGINX waits 5 s longer than the service, so at least 6 s.
        edge = edges("production", [hanging.address], config={"REQUEST_TIMEOUT": "1s", "SHOUTCLOUD_DEADLINE": "500ms", "SHOUTCLOUD_ATTEMPT_TIMEOUT": "500ms"})
        began = time.monotonic()
        response = edge.shout("x")
        seconds = time.monotonic() - began
        hanging.may_close.set()
    assert (response.status_code, response.headers["content-type"]) == (504, PROBLEM)
    assert response.json()["title"] == "Gateway Timeout"
    # NGINX's clock has a resolution of 4 to 10 ms.
    assert seconds > 5.9
    assert hanging.received == 1


@pytest.mark.parametrize(("nginx_waits", "replica_waits", "first"), [("1s", "1500ms", "client"), ("10s", "1s", "server")])
def test_which_side_closes_an_idle_connection(edges, replicas, texts, nginx_waits, replica_waits, first):
    """NGINX, because its 60 s are less than IDLE_TIMEOUT; otherwise it could send on a connection that the replica closes. The times
    are shortened; the second case shows that the test detects the opposite."""

    def shortened(written):
        # There is no key or annotation for this, so NGINX has its default.
        before, keepalive, after = re.split(r"^(keepalive \d+;)", written, flags=re.M)
        assert "keepalive_timeout" not in after.partition("}")[0]
        return f"{before}{keepalive} keepalive_timeout {nginx_waits};{after}"

    replica = replicas(IDLE_TIMEOUT=replica_waits)
    with Witness(lambda: replica.port) as connection:
        edge = edges("production", [connection.address], how={"edit": shortened})
        assert edge.shout(next(texts)).status_code == 200
        wait_until("the idle connection is ended", lambda: connection.ends)
    assert connection.ends[0] == first
