"""Faults between the service and SHOUTCLOUD: their effect on clients, and recovery."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import ATTEMPTS

from harness.process import wait_until


def problem(response):
    """Returns the status and the name of the problem type."""
    return response.status_code, response.json()["type"].removeprefix("/docs#")


UNAVAILABLE = (503, "upstream-unavailable")
TIMEOUT = (504, "upstream-timeout")


def attempts(shoutback):
    return shoutback.metric("http_client_request_duration_seconds_count")


# Faults that only delay a call.
MILD = {
    "latency": {"latency": 100},
    "jitter": {"type": "latency", "latency": 100, "jitter": 100},
    "bandwidth": {"rate": 1000},
    "slicer": {"average_size": 8, "size_variation": 4, "delay": 100},
    "slow_close": {"delay": 1000},
}


@pytest.mark.parametrize("stream", ["upstream", "downstream"])
@pytest.mark.parametrize("fault", MILD)
def test_a_slow_network_costs_time_only(fault, stream, start, network, shoutcloud, caller):
    """Each request succeeds with one attempt, on a fresh connection and on a pooled one."""
    shoutback = start(SHOUTCLOUD_ATTEMPT_TIMEOUT="4s", BREAKER_SLOW_CALL="4s")
    calls = shoutcloud.calls()
    with network.toxic(**{"type": fault, "stream": stream} | MILD[fault]):
        responses = [caller.shout(shoutback) for _ in range(3)]
    assert [response.status_code for response in responses] == [200] * 3
    assert shoutcloud.calls() == calls + 3


# Faults that fail every attempt, and whether the attempt arrives at SHOUTCLOUD.
SEVERE = {
    "latency beyond the attempt's timeout": ({"type": "latency", "latency": 60_000}, True),
    "half-open: no response arrives": ({"type": "timeout", "timeout": 0}, True),
    "half-open: no call arrives": ({"type": "timeout", "stream": "upstream", "timeout": 0}, False),
    "the connection is closed before a response": ({"type": "timeout", "timeout": 100}, True),
    "reset at the response": ({"type": "reset_peer"}, True),
    "reset at the call": ({"type": "reset_peer", "stream": "upstream"}, False),
    "the response breaks off in its headers": ({"type": "limit_data", "bytes": 10}, True),
    "the response breaks off in its body": ({"type": "limit_data", "bytes": 150}, True),
}


@pytest.mark.parametrize("pooled", [False, True], ids=["fresh", "pooled"])
@pytest.mark.parametrize("fault", SEVERE)
def test_a_fault_is_retried_then_reported_and_the_service_recovers(fault, pooled, shoutback, network, shoutcloud, caller):
    toxic, arrives = SEVERE[fault]
    if pooled:
        assert caller.shout(shoutback).status_code == 200
    calls, attempted = shoutcloud.calls(), attempts(shoutback)
    with network.toxic(**toxic):
        response = caller.shout(shoutback)
    assert problem(response) == UNAVAILABLE
    assert 1 <= int(response.headers["retry-after"]) <= 60
    assert attempts(shoutback) == attempted + ATTEMPTS
    # An attempt on a pooled connection that breaks without a byte is repeated once, as part of the attempt.
    repeated = shoutback.metric("shoutback_upstream_connections_total", event="stale")
    assert shoutcloud.calls() == calls + (ATTEMPTS + repeated if arrives else 0)
    assert pooled or not repeated

    assert caller.shout(shoutback).status_code == 200
    wait_until("no request is active", lambda: shoutback.active_requests() == 0)


def test_a_connection_refused_is_retried_then_reported_and_the_service_recovers(shoutback, network, shoutcloud, caller):
    calls = shoutcloud.calls()
    with network.down():
        response = caller.shout(shoutback)
    assert problem(response) == UNAVAILABLE
    assert attempts(shoutback) == ATTEMPTS
    assert shoutcloud.calls() == calls
    assert caller.shout(shoutback).status_code == 200


def test_a_deadline_that_passes_in_an_attempt_is_a_timeout(start, network, shoutcloud, caller):
    """The deadline leaves time for one whole attempt and a part of the second."""
    shoutback = start(SHOUTCLOUD_DEADLINE="950ms")
    calls = shoutcloud.calls()
    with network.toxic("timeout", timeout=0):
        assert problem(caller.shout(shoutback)) == TIMEOUT
    assert shoutcloud.calls() - calls == 2
    assert caller.shout(shoutback).status_code == 200


def test_low_bandwidth_fails_only_large_texts(shoutback, network, caller):
    """The small text arrives in time, the large one does not, and the small one again afterwards."""
    # Upstream, because downstream Toxiproxy never drops unread data, nor the toxic.
    with network.toxic("bandwidth", stream="upstream", rate=20):
        assert caller.shout(shoutback).status_code == 200
        assert problem(caller.shout(shoutback, size=60_000)) == UNAVAILABLE
        assert caller.shout(shoutback).status_code == 200
    assert caller.shout(shoutback, size=60_000).status_code == 200


def test_slow_closes_delay_neither_calls_nor_shutdown(start, network, shoutcloud, caller):
    """Connections that SHOUTCLOUD closes stay half-closed for long."""
    shoutback = start(SHUTDOWN_TIMEOUT="1m")
    with network.toxic("slow_close", delay=3_600_000):
        assert all(response.status_code == 200 for response in caller.shout_many(shoutback, 20, workers=5))
        assert shoutback.stop() == 0


def test_resets_of_one_connection_in_ten_are_hidden(start, network, shoutcloud, caller):
    """Of 600 calls every tenth connection is reset: four attempts leave one error in 10,000."""
    shoutback = start(SHOUTCLOUD_ATTEMPT_TIMEOUT="5s", BREAKER_SLOW_CALL="5s", SHOUTCLOUD_DEADLINE="20s")
    responses = []
    with network.toxic("reset_peer", toxicity=0.1) as toxic:
        for _ in range(30):
            responses += caller.shout_many(shoutback, 20, workers=20)
            # Otherwise unaffected connections would stay in the pool.
            toxic.resample()
    failed = [problem(response) for response in responses if response.status_code != 200]
    assert attempts(shoutback) > len(responses), "nothing was reset"
    assert len(failed) <= 2 and set(failed) <= {UNAVAILABLE}


def test_restarts_of_the_network_are_hidden(start, network, shoutcloud, caller):
    """Pooled and active connections are closed repeatedly; every request succeeds."""
    shoutback = start(SHOUTCLOUD_ATTEMPT_TIMEOUT="5s", BREAKER_SLOW_CALL="5s", SHOUTCLOUD_DEADLINE="20s")
    shoutcloud.behave(delay="20ms")
    with ThreadPoolExecutor(5) as pool:
        for _ in range(10):
            # The retry budget suffices: at most five requests are in flight at a restart, and 60 deposit twelve retries.
            shouting = [pool.submit(caller.shout, shoutback) for _ in range(60)]
            shouting[30].result()
            network.restart()
            assert {response.result().status_code for response in shouting} == {200}
    assert attempts(shoutback) > 600, "no restart affected a request"


def test_a_breaker_opened_by_network_faults_closes_again(start, network, shoutcloud, caller):
    shoutback = start(BREAKER_MIN_CALLS="8", BREAKER_OPEN_FOR="3s", BREAKER_WINDOW="10s")

    def is_in(state):
        return shoutback.metric("shoutback_breaker_state", state=state) == 1

    with network.toxic("reset_peer"):
        for _ in range(3):
            assert problem(caller.shout(shoutback)) == UNAVAILABLE
        wait_until("the breaker is open", lambda: is_in("open"), within=5)
        calls = shoutcloud.calls()
        response = caller.shout(shoutback)
        assert problem(response) == UNAVAILABLE
        assert 1 <= int(response.headers["retry-after"]) <= 4
        assert shoutcloud.calls() == calls
    wait_until("shouts succeed again", lambda: caller.shout(shoutback).status_code == 200)
    wait_until("the breaker is closed", lambda: caller.shout(shoutback).status_code == 200 and is_in("closed"))


def test_descriptors_are_released_after_a_fault(shoutback, network, shoutcloud, caller):
    """Stalled connections are closed when others replace them."""
    assert all(response.status_code == 200 for response in caller.shout_many(shoutback, 20, workers=10))
    before = shoutback.descriptors()
    with network.toxic("timeout", timeout=0):
        assert {problem(response) for response in caller.shout_many(shoutback, 30, workers=30)} <= {UNAVAILABLE, TIMEOUT}
    assert caller.shout(shoutback).status_code == 200
    caller.http.close()
    wait_until("descriptors are released", lambda: shoutback.descriptors() <= before)
