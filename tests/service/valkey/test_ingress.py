"""One quota over three replicas behind the real NGINX, during a minute, however it spreads requests."""

import contextlib

import pytest
import trustme

from client import send_all
from ingress import Ingress

PER_SECOND, BURST, SECONDS = 10, 60, 60
LIMITS = {"RATE_LIMIT_PER_CLIENT": f"{PER_SECOND}/s", "RATE_LIMIT_BURST": str(BURST)}
EXCESSIVE, MODERATE = 3 * PER_SECOND, 0.9 * PER_SECOND

# How NGINX selects one, and how many of the three replicas it knows.
SPREADS = {"round robin": ("round_robin", 3), "random": ("random", 3), "one replica": ("round_robin", 1)}


class Minute:
    """All spreads at both rates, at the same time. Each has replicas of its own, which share a database of Valkey."""

    def __init__(self, stack, directory, valkey, start_replicas):
        authority, self.replicas, self.ingresses = trustme.CA(), [], {}
        for number, (spread, rate) in enumerate((spread, rate) for spread in SPREADS for rate in (EXCESSIVE, MODERATE)):
            method, known = SPREADS[spread]
            replicas = start_replicas(f"{valkey.url}/{number}", **LIMITS)
            self.replicas += replicas
            ingress = Ingress(directory / f"ingress-{number}", authority, replicas[:known], method)
            self.ingresses[spread, rate] = stack.enter_context(ingress)

    def send(self, during=None):
        """Returns the results by spread and rate."""
        loads = [(lambda _, ingress=ingress: ingress, rate) for (_, rate), ingress in self.ingresses.items()]
        return dict(zip(self.ingresses, send_all(loads, SECONDS, during), strict=True))


@pytest.fixture
def minute(tmp_path, valkey, start_replicas):
    with contextlib.ExitStack() as stack:
        yield Minute(stack, tmp_path, valkey, start_replicas)


def test_a_client_gets_its_limit_and_at_90_percent_of_it_no_429(minute):
    results = minute.send()
    for spread in SPREADS:
        result = results[spread, EXCESSIVE]
        assert set(result.statuses) == {200, 429}, (spread, result.statuses)
        assert result.accepted == pytest.approx(result.limit(PER_SECOND, BURST), rel=0.05), (spread, result.statuses)
        assert set(results[spread, MODERATE].statuses) == {200}, (spread, results[spread, MODERATE].statuses)


def test_the_same_while_valkey_is_killed_and_started_again(minute, valkey):
    results = minute.send({SECONDS / 3: valkey.kill, SECONDS * 2 / 3: valkey.launch})
    for spread, (_, known) in SPREADS.items():
        result = results[spread, EXCESSIVE]
        assert set(result.statuses) == {200, 429}, (spread, result.statuses)
        limit = result.limit(PER_SECOND, BURST)
        # A client of one replica gets a third of its limit meanwhile.
        assert (0.85 if known == 3 else 0.5) * limit <= result.accepted <= 1.1 * limit, (spread, result.statuses)
        expected = {200} if known == 3 else {200, 429}
        assert set(results[spread, MODERATE].statuses) == expected, (spread, results[spread, MODERATE].statuses)
    for replica in minute.replicas:
        replica.until_up()
        assert replica.changes() == ["success", "failure", "success"]
