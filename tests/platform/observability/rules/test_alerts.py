"""Each alert fires for its fault, for nothing else, and returns when the fault is over."""

import re

import pytest
from conftest import SLO_TICKETS, identity
from shipped import alerts

ALERTS = sorted({(rule["alert"], rule["labels"]["severity"]) for rule in alerts()})
# Every environment by name, so that a missing one fails and is not just absent.
ENVIRONMENTS = [
    "healthy",
    "one-replica-down",
    "calls-fail",
    "breaker-opens",
    "calls-are-slow",
    "refusals-are-slow",
    "keys-are-stale",
    "keys-have-expired",
    "quota-used-up",
    "too-much-at-once",
    "all-replicas-down",
    "nobody-calls",
    "collector-is-away",
    "disk-is-full",
]


def having(run, alert):
    return [environment for environment in run.environments if alert in environment.expected]


@pytest.mark.parametrize("alert", ALERTS, ids="-".join)
def test_it_fires_for_its_fault(alert, run):
    environments = having(run, alert)
    assert environments, f"no fault is for {alert}"
    seen = run.fired["tickets" if alert[0] in SLO_TICKETS else "prometheus"]
    for environment in environments:
        fired = [labels for labels in seen if identity(labels) == (environment.name, *alert)]
        assert fired, f"{alert} did not fire for {environment.name}"
        wanted = environment.labels.items()
        assert any(wanted <= labels.items() for labels in fired), fired


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_nothing_else_fires(name, run):
    environment, = (one for one in run.environments if one.name == name)
    fired = {identity(labels)[1:] for labels in run.fired["prometheus"] if labels["environment"] == name}
    # On a machine that is too busy to answer a scrape in time, these are right.
    if not run.answered_every_scrape(name):
        fired -= {("ShoutbackReplicaDown", "ticket"), ("ShoutbackReplicaDown", "page")}
    assert fired <= environment.expected


@pytest.mark.parametrize("alert", ALERTS, ids="-".join)
def test_it_returns_when_the_fault_is_over(alert, run):
    for environment in having(run, alert):
        assert (environment.name, *alert) in run.returned


@pytest.mark.parametrize("alert", ALERTS, ids="-".join)
def test_what_it_says_makes_sense(alert, run):
    """Templates that fail, or name a label that is not there, say so in the text."""
    for environment in having(run, alert):
        for text in run.annotations[(environment.name, *alert)].values():
            assert text and not re.search(r"<no value>|<error|NaN|Inf|  ", text), text
