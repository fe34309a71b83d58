"""What reaches the replicas, and what callers get when one of them fails."""

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


def test_what_a_replica_is_told_of_the_caller(recorded):
    edge, recorder = recorded
    edge.https.client = "203.0.113.50"
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = {"traceparent": trace, "tracestate": "a=1,b=2", "baggage": "k=v", "x-request-id": "mine", "authorization": "Bearer t"}
    forged = {"x-forwarded-for": "192.0.2.1", "x-real-ip": "192.0.2.2", "x-forwarded-proto": "http", "x-forwarded-host": "evil"}
    assert edge.shout("x", headers=headers | forged).status_code == 200
    told = recorder.requests[-1]
    for name, value in headers.items():
        assert told.get_all(name) == [value]
    assert told.get_all("host") == [manifests.HOST]
    assert told.get_all("x-real-ip") == ["203.0.113.50"]
    # What a caller says of itself comes first; the last is who it was.
    assert told.get_all("x-forwarded-for") == ["192.0.2.1, 203.0.113.50"]
    assert told.get_all("x-forwarded-proto") == ["https"]
    assert told.get_all("x-forwarded-host") == [manifests.HOST]


def test_nothing_is_made_up(recorded):
    edge, recorder = recorded
    assert edge.shout("x").status_code == 200
    for name in ("x-request-id", "traceparent", "tracestate"):
        assert recorder.requests[-1].get_all(name) is None


@contextlib.contextmanager
def in_the_background(*calls):
    """The results of the calls, once the `with` block is over."""
    results = [None] * len(calls)

    def run(index, call):
        results[index] = call()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    yield results
    for thread in threads:
        thread.join()


def test_a_post_that_was_sent_goes_to_no_other_replica(edges):
    with Quitter() as first, Quitter() as second:
        edge = edges("production", [first.address, second.address])
        for http2 in (False, True):
            answer = edge.shout("x", http2=http2)
            assert (answer.status_code, answer.headers["content-type"]) == (502, PROBLEM)
            assert answer.json()["type"] == "about:blank"
            assert answer.headers["retry-after"] == "1"
            assert answer.headers["x-request-id"] == answer.json()["instance"]
        assert first.received + second.received == 2


def test_a_replica_that_dies_takes_one_request_along(edges, replicas, shoutcloud, texts):
    """No call of SHOUTCLOUD is made twice for it."""
    both = [replicas(), replicas()]
    edge = edges("production", [replica.address for replica in both])
    shoutcloud.behave(delay="30s")
    before = shoutcloud.calls()
    with in_the_background(lambda: edge.shout(next(texts))) as answers:
        wait_until("SHOUTCLOUD is called", lambda: shoutcloud.calls() > before)
        (dying,) = [replica for replica in both if replica.active_requests()]
        dying.child.kill()
    assert [answer.status_code for answer in answers] == [502]
    (other,) = [replica for replica in both if replica is not dying]
    assert other.metric("http_server_request_duration_seconds_count", http_route="/v1") == 0
    assert shoutcloud.calls() == before + 1
    # The other one has nothing to do with it.
    shoutcloud.behave()
    assert edge.shout(next(texts)).status_code == 200


def test_a_request_that_could_not_be_sent_goes_on(edges, replicas):
    """A replica that is gone already, as long as its address is still known."""
    gone = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    edge = edges("production", [*gone, replicas().address])
    for http2 in (False, True):
        assert {edge.shout("", http2=http2).status_code for _ in range(10)} == {200}
    attempts = [line["nginx.upstream.status"] for line in edge.nginx.requests()]
    assert any("502" in attempt for attempt in attempts), attempts


def test_without_a_replica_there_is_a_problem(edges):
    edge = edges("production", [])
    answer = edge.shout("x")
    assert (answer.status_code, answer.headers["content-type"]) == (502, PROBLEM)
    assert answer.json()["title"] == "Bad Gateway"
    assert answer.headers.get_list("strict-transport-security")


SHORT = {"SHOUTCLOUD_ATTEMPT_TIMEOUT": "1800ms", "SHOUTCLOUD_DEADLINE": "1800ms", "BREAKER_SLOW_CALL": "1800ms"}


def test_the_service_gives_up_before_nginx_does(edges, replicas, shoutcloud, texts):
    """After all the time that it has for a request, but for a little."""
    shoutcloud.behave(delay="30s")
    config = SHORT | {"REQUEST_TIMEOUT": "2s"}
    edge = edges("production", [replicas(**config).address], config=config)
    answer = edge.shout(next(texts))
    assert (answer.status_code, answer.json()["type"]) == (504, "/docs#upstream-timeout")
    assert "upstream" in answer.headers["server-timing"]


def test_nginx_gives_up_in_the_end(edges):
    with Quitter(holds=True) as hanging:
        # It waits for 5 s more than the service, which makes 6 the least.
        edge = edges("production", [hanging.address], config={"REQUEST_TIMEOUT": "1s"})
        began = time.monotonic()
        answer = edge.shout("x")
        took = time.monotonic() - began
        hanging.may_close.set()
    assert (answer.status_code, answer.headers["content-type"]) == (504, PROBLEM)
    assert answer.json()["title"] == "Gateway Timeout"
    # Its clock is coarse, 4 to 10 ms.
    assert took > 5.9
    assert hanging.received == 1


@pytest.mark.parametrize(("nginx_waits", "replica_waits", "first"), [("1s", "1500ms", "client"), ("10s", "1s", "server")])
def test_who_ends_an_idle_connection(edges, replicas, texts, nginx_waits, replica_waits, first):
    """NGINX, whose 60 s are less than IDLE_TIMEOUT: else it might send into a connection that the replica closes. The waits are
    shortened; the second case shows that the test would notice."""

    def shortened(written):
        # No key or annotation is for this, so NGINX has its default.
        before, keepalive, after = re.split(r"^(keepalive \d+;)", written, flags=re.M)
        assert "keepalive_timeout" not in after.partition("}")[0]
        return f"{before}{keepalive} keepalive_timeout {nginx_waits};{after}"

    replica = replicas(IDLE_TIMEOUT=replica_waits)
    with Witness(lambda: replica.port) as way:
        edge = edges("production", [way.address], how={"edit": shortened})
        assert edge.shout(next(texts)).status_code == 200
        wait_until("the idle connection is ended", lambda: way.ends)
    assert way.ends[0] == first
