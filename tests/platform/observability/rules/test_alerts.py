"""Each alert fires for its fault only, and resolves when the fault ends."""

import re

import pytest
from conftest import SLOW, identity
from shipped import alerts_with_a_fault

ALERTS = sorted({(rule["alert"], rule["labels"]["severity"]) for rule in alerts_with_a_fault()})
# Every environment by name, so that a missing one is a failure.
ENVIRONMENTS = [
    "healthy",
    "one-replica-down",
    "calls-fail",
    "breaker-opens",
    "calls-are-slow",
    "rejections-are-slow",
    "keys-are-stale",
    "keys-have-expired",
    "all-rejected",
    "one-replica-rejects",
    "one-replica-fails",
    "callers-hang-up",
    "restarts",
    "near-limit",
    "quota-used-up",
    "overload",
    "all-replicas-down",
    "no-traffic",
    "collector-unavailable",
    "disk-is-full",
    "valkey-is-down",
]


def having(run, alert):
    return [environment for environment in run.environments if alert in environment.expected]


@pytest.mark.parametrize("alert", ALERTS, ids="-".join)
def test_it_fires_for_its_fault(alert, run):
    environments = having(run, alert)
    assert environments, f"add a fault for {alert} to environments.py, or the alert to OUTSIDE or NEEDS_CLIENTS of shipped.py"
    recorded = run.fired["tickets" if alert in SLOW else "prometheus"]
    for environment in environments:
        fired = [labels for labels in recorded if identity(labels) == (environment.name, *alert)]
        assert fired, f"{alert} did not fire for {environment.name}"
        expected = environment.labels.items()
        assert any(expected <= labels.items() for labels in fired), fired


def test_every_environment_is_named(run):
    assert sorted(environment.name for environment in run.environments) == sorted(ENVIRONMENTS), "correct ENVIRONMENTS"


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_no_other_alert_fires(name, run):
    environment, = (one for one in run.environments if one.name == name)
    fired = {identity(labels)[1:] for labels in run.fired["prometheus"] if labels["environment"] == name}
    # On a machine that is too busy to respond to a scrape in time, these alerts are correct.
    if not run.responded_to_every_scrape(name):
        fired -= {("ShoutbackReplicaDown", "ticket"), ("ShoutbackReplicaDown", "page")}
    assert fired <= environment.expected | environment.optional


@pytest.mark.parametrize("alert", ALERTS, ids="-".join)
def test_it_resolves_when_the_fault_ends(alert, run):
    for environment in having(run, alert):
        assert (environment.name, *alert) in run.returned


@pytest.mark.parametrize("alert", ALERTS, ids="-".join)
def test_its_texts_are_rendered(alert, run):
    """Templates that fail, or use a missing label, leave an error in the text."""
    for environment in having(run, alert):
        for text in run.annotations[(environment.name, *alert)].values():
            assert text and not re.search(r"<no value>|<error|NaN|Inf|  ", text), text
