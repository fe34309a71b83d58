"""Faults between the service and SHOUTCLOUD: what its consumers see of them, and that nothing of them stays."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import ATTEMPTS

from harness.process import wait_until


def problem(answer):
    """Its status, and its type by name."""
    return answer.status_code, answer.json()["type"].removeprefix("/docs#")


UNAVAILABLE = (503, "upstream-unavailable")
TIMEOUT = (504, "upstream-timeout")


def attempts(shoutback):
    return shoutback.metric("http_client_request_duration_seconds_count")


# What a network may do to a call without a consumer noticing anything but the time.
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
    """Each text is answered, by one attempt: on a fresh connection, and on one from the pool."""
    shoutback = start(SHOUTCLOUD_ATTEMPT_TIMEOUT="4s", BREAKER_SLOW_CALL="4s")
    calls = shoutcloud.calls()
    with network.toxic(**{"type": fault, "stream": stream} | MILD[fault]):
        answers = [caller.shout(shoutback) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert shoutcloud.calls() == calls + 3


# What no attempt survives, and whether it arrives at SHOUTCLOUD.
DEADLY = {
    "latency beyond the attempt's timeout": ({"type": "latency", "latency": 60_000}, True),
    "half-open: no answer comes": ({"type": "timeout", "timeout": 0}, True),
    "half-open: no call arrives": ({"type": "timeout", "stream": "upstream", "timeout": 0}, False),
    "the connection is closed before an answer": ({"type": "timeout", "timeout": 100}, True),
    "reset at the answer": ({"type": "reset_peer"}, True),
    "reset at the call": ({"type": "reset_peer", "stream": "upstream"}, False),
    "the answer's head breaks off": ({"type": "limit_data", "bytes": 10}, True),
    "the answer's body breaks off": ({"type": "limit_data", "bytes": 150}, True),
}


@pytest.mark.parametrize("pooled", [False, True], ids=["fresh", "pooled"])
@pytest.mark.parametrize("fault", DEADLY)
def test_a_fault_is_retried_then_told_and_over_when_it_is_over(fault, pooled, shoutback, network, shoutcloud, caller):
    toxic, arrives = DEADLY[fault]
    if pooled:
        assert caller.shout(shoutback).status_code == 200
    calls, attempted = shoutcloud.calls(), attempts(shoutback)
    with network.toxic(**toxic):
        answer = caller.shout(shoutback)
    assert problem(answer) == UNAVAILABLE
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert attempts(shoutback) == attempted + ATTEMPTS
    assert shoutcloud.calls() == calls + (ATTEMPTS if arrives else 0)

    assert caller.shout(shoutback).status_code == 200
    wait_until("no request is active", lambda: shoutback.active_requests() == 0)


def test_a_refused_connection_is_retried_then_told_and_over_when_it_is_over(shoutback, network, shoutcloud, caller):
    calls = shoutcloud.calls()
    with network.down():
        answer = caller.shout(shoutback)
    assert problem(answer) == UNAVAILABLE
    assert attempts(shoutback) == ATTEMPTS
    assert shoutcloud.calls() == calls
    assert caller.shout(shoutback).status_code == 200


def test_a_deadline_that_passes_in_an_attempt_is_a_timeout(start, network, shoutcloud, caller):
    """With the same fault and a deadline that leaves time for one whole attempt and a part of the second."""
    shoutback = start(SHOUTCLOUD_DEADLINE="950ms")
    calls = shoutcloud.calls()
    with network.toxic("timeout", timeout=0):
        assert problem(caller.shout(shoutback)) == TIMEOUT
    assert shoutcloud.calls() - calls == 2
    assert caller.shout(shoutback).status_code == 200


def test_bandwidth_is_a_matter_of_size(shoutback, network, caller):
    """The small text arrives in time, the large one does not, and the small one again afterwards."""
    # Upstream: downstream, Toxiproxy never gets rid of what nobody reads any more, nor of the toxic.
    with network.toxic("bandwidth", stream="upstream", rate=20):
        assert caller.shout(shoutback).status_code == 200
        assert problem(caller.shout(shoutback, size=60_000)) == UNAVAILABLE
        assert caller.shout(shoutback).status_code == 200
    assert caller.shout(shoutback, size=60_000).status_code == 200


def test_slow_closes_hold_nothing_back(start, network, shoutcloud, caller):
    """Connections that SHOUTCLOUD closes, and which stay half-closed for long, neither fail a call nor delay a stop."""
    shoutback = start(SHUTDOWN_TIMEOUT="1m")
    with network.toxic("slow_close", delay=3_600_000):
        assert all(answer.status_code == 200 for answer in caller.shout_many(shoutback, 20, workers=5))
        assert shoutback.stop() == 0


def test_resets_of_one_connection_in_ten_are_hidden(start, network, shoutcloud, caller):
    """600 calls on networks of which every tenth connection resets: four attempts leave one error in 10,000."""
    shoutback = start(SHOUTCLOUD_ATTEMPT_TIMEOUT="5s", BREAKER_SLOW_CALL="5s", SHOUTCLOUD_DEADLINE="20s")
    answers = []
    with network.toxic("reset_peer", toxicity=0.1) as toxic:
        for _ in range(30):
            answers += caller.shout_many(shoutback, 20, workers=20)
            # Connections that were spared would be in the pool for good.
            toxic.resample()
    failed = [problem(answer) for answer in answers if answer.status_code != 200]
    assert attempts(shoutback) > len(answers), "nothing was reset"
    assert len(failed) <= 2 and set(failed) <= {UNAVAILABLE}


def test_restarts_of_the_network_cost_consumers_nothing(start, network, shoutcloud, caller):
    """Connections go away again and again, pooled ones and ones in use; every request is answered."""
    shoutback = start(SHOUTCLOUD_ATTEMPT_TIMEOUT="5s", BREAKER_SLOW_CALL="5s", SHOUTCLOUD_DEADLINE="20s")
    shoutcloud.behave(delay="20ms")
    with ThreadPoolExecutor(5) as pool:
        for _ in range(10):
            # Retries have to be paid: five requests at most are under way at a restart, and 60 earn twelve retries.
            shouting = [pool.submit(caller.shout, shoutback) for _ in range(60)]
            shouting[30].result()
            network.restart()
            assert {answer.result().status_code for answer in shouting} == {200}
    assert attempts(shoutback) > 600, "no restart befell a request"


def test_a_breaker_that_a_network_has_opened_closes_by_itself(start, network, shoutcloud, caller):
    shoutback = start(BREAKER_MIN_CALLS="8", BREAKER_OPEN_FOR="3s", BREAKER_WINDOW="10s")

    def is_in(state):
        return shoutback.metric("shoutback_breaker_state", state=state) == 1

    with network.toxic("reset_peer"):
        for _ in range(3):
            assert problem(caller.shout(shoutback)) == UNAVAILABLE
        wait_until("the breaker is open", lambda: is_in("open"), within=5)
        calls = shoutcloud.calls()
        answer = caller.shout(shoutback)
        assert problem(answer) == UNAVAILABLE
        assert 1 <= int(answer.headers["retry-after"]) <= 4
        assert shoutcloud.calls() == calls
    wait_until("shouts succeed again", lambda: caller.shout(shoutback).status_code == 200)
    wait_until("the breaker is closed", lambda: caller.shout(shoutback).status_code == 200 and is_in("closed"))


def test_a_fault_gives_its_descriptors_back(shoutback, network, shoutcloud, caller):
    """Connections that hang are not kept beside the ones that replace them."""
    assert all(answer.status_code == 200 for answer in caller.shout_many(shoutback, 20, workers=10))
    before = shoutback.descriptors()
    with network.toxic("timeout", timeout=0):
        assert {problem(answer) for answer in caller.shout_many(shoutback, 30, workers=30)} <= {UNAVAILABLE, TIMEOUT}
    assert caller.shout(shoutback).status_code == 200
    caller.http.close()
    wait_until("descriptors are given back", lambda: shoutback.descriptors() <= before)
