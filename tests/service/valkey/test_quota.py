"""One quota over three replicas, however a client's requests are spread over them."""

import pytest

from client import SPREADS, requests_total, round_robin, send, shout

PER_SECOND, BURST, SECONDS = 40, 120, 15
LIMITS = {"RATE_LIMIT_PER_CLIENT": f"{PER_SECOND}/s", "RATE_LIMIT_BURST": str(BURST)}


@pytest.mark.parametrize("spread", SPREADS)
def test_a_client_over_its_limit_gets_its_limit(valkey, start_replicas, spread):
    replicas = start_replicas(valkey.url, **LIMITS)
    result = send(spread(replicas), 3 * PER_SECOND, SECONDS)
    assert set(result.statuses) == {200, 429}, result.statuses
    assert result.accepted == pytest.approx(result.limit(PER_SECOND, BURST), rel=0.05), result.statuses


@pytest.mark.parametrize("spread", SPREADS)
def test_a_client_at_90_percent_gets_no_429(valkey, start_replicas, spread):
    replicas = start_replicas(valkey.url, **LIMITS)
    result = send(spread(replicas), 0.9 * PER_SECOND, SECONDS)
    assert set(result.statuses) == {200}, result.statuses
    leases = sum(requests_total(replica, "quota_lease", "success") for replica in replicas)
    assert 0 < leases < result.accepted, "a lease serves several requests"


@pytest.mark.parametrize("spread", SPREADS)
def test_the_limit_holds_while_valkey_is_killed_and_started_again(valkey, start_replicas, spread):
    replicas = start_replicas(valkey.url, **LIMITS)
    during = {SECONDS / 3: valkey.kill, 2 * SECONDS / 3: valkey.launch}
    result = send(spread(replicas), 3 * PER_SECOND, SECONDS, during)
    assert set(result.statuses) == {200, 429}, result.statuses
    limit = result.limit(PER_SECOND, BURST)
    assert result.accepted <= 1.1 * limit, result.statuses
    # A client of one replica gets a third of its limit meanwhile.
    assert result.accepted >= (0.85 if spread is not SPREADS[2] else 0.5) * limit, result.statuses
    for replica in replicas:
        replica.until_up()
        assert replica.changes() == ["success", "failure", "success"]


def test_an_outage_costs_a_client_at_90_percent_nothing_if_its_requests_are_spread(valkey, start_replicas):
    replicas = start_replicas(valkey.url, **LIMITS)
    during = {SECONDS / 3: valkey.kill, 2 * SECONDS / 3: valkey.launch}
    result = send(round_robin(replicas), 0.9 * PER_SECOND, SECONDS, during)
    assert set(result.statuses) == {200}, result.statuses


def test_each_replica_enforces_its_share_during_an_outage(valkey, start_replicas):
    replicas = start_replicas(valkey.url, RATE_LIMIT_PER_CLIENT="1/h", RATE_LIMIT_BURST="30")
    valkey.kill()
    for replica in replicas:
        replica.until_down()
    accepted = [sum(shout(replica)[0] == 200 for _ in range(15)) for replica in replicas]
    assert accepted == [10, 10, 10]


def test_headers_tell_what_is_left_over_all_replicas(valkey, start_replicas):
    replicas = start_replicas(valkey.url, RATE_LIMIT_PER_CLIENT="1/h", RATE_LIMIT_BURST="6")
    left = []
    for number in range(6):
        status, headers, _ = shout(replicas[number % 3])
        assert status == 200
        assert headers["ratelimit-policy"] == '"client";q=6;w=21600'
        left.append(headers["ratelimit"].split(";")[1])
    assert left == ["r=5", "r=4", "r=3", "r=2", "r=1", "r=0"]
    for replica in replicas:
        status, headers, _ = shout(replica)
        assert (status, headers["ratelimit"].split(";")[1]) == (429, "r=0")
        assert 1 <= int(headers["retry-after"]) <= 60


def test_leases_are_returned_when_a_client_pauses_and_when_a_replica_stops(valkey, start_replicas):
    replicas = start_replicas(valkey.url, RATE_LIMIT_PER_CLIENT="1/m", RATE_LIMIT_BURST="3000")
    used = send(round_robin(replicas), 60, 5).accepted
    [key] = valkey("KEYS", "shoutback:quota:*")

    def level():
        return float(valkey("HGET", key, "level"))

    assert sum(requests_total(replica, "quota_lease", "success") for replica in replicas) < 0.8 * used
    replicas[0].until("the leases are returned", lambda: level() > 3000 - used - 1)
    assert level() < 3000 - used + 2
    send(round_robin(replicas), 60, 2)
    for replica in replicas:
        assert replica.stop() == 0
    assert valkey("ZCARD", "shoutback:{replicas}") == 0
