"""The example configuration of Alertmanager: routing and inhibition."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from shipped import OBSERVABILITY, alerts, identified

from harness.process import Process, responds_ok, http_request, wait_until
from harness.toxiproxy import free_port

CONFIGURATION = OBSERVABILITY / "alertmanager/alertmanager.yml"
LABELS = {"team": "shoutback", "job": "shoutback", "environment": "production"}


def test_amtool_accepts_it():
    subprocess.run(["amtool", "check-config", CONFIGURATION], check=True)


def receives(receiver, labels):
    """Asserts that the alert with these labels goes to this receiver, and to no other."""
    command = ["amtool", "config", "routes", "test", f"--config.file={CONFIGURATION}", f"--verify.receivers={receiver}"]
    subprocess.run([*command, *(f"{name}={value}" for name, value in labels.items())], check=True)


@pytest.mark.parametrize("rule", alerts(), ids=identified)
@pytest.mark.parametrize("environment", ["production", "", "staging", "dev"])
def test_only_staging_does_not_page(rule, environment):
    """An alert without the label pages: a superfluous page is better than a missed outage."""
    receiver = "ticket" if environment in ("staging", "dev") else rule["labels"]["severity"]
    receives(receiver, LABELS | rule["labels"] | {"alertname": rule["alert"], "environment": environment})


STACK = yaml.safe_load((Path(__file__).parent / "stack-alerts.yaml").read_text())
RECEIVERS = {"critical": "page", "warning": "ticket", "info": "none", "none": "none"}


@pytest.mark.parametrize(("severity", "name"), [(severity, name) for severity, names in STACK["alerts"].items() for name in names])
def test_the_alerts_of_the_stack_reach_their_receiver(severity, name):
    receiver = "dead-mans-switch" if name == "Watchdog" else RECEIVERS[severity]
    receives(receiver, {"alertname": name, "severity": severity, "namespace": "monitoring", "environment": "production"})


def test_the_stack_of_staging_does_not_page():
    receives("ticket", {"alertname": "KubeAPIDown", "severity": "critical", "environment": "staging"})
    receives("dead-mans-switch", {"alertname": "Watchdog", "severity": "none", "environment": "staging"})


def test_the_stack_is_the_one_that_is_installed():
    applications = (OBSERVABILITY.parent / "gitops").rglob("*.yaml")
    assert any("kube-prometheus-stack" in text and STACK["version"] in text for text in (path.read_text() for path in applications))


def test_the_dead_mans_switch_is_notified_every_minute():
    """Its receiver has to know within minutes, and a resolved notification would look like a sign of life."""
    configuration = yaml.safe_load(CONFIGURATION.read_text())
    route, = (route for route in configuration["route"]["routes"] if route["receiver"] == "dead-mans-switch")
    assert (route["group_interval"], route["repeat_interval"]) == ("1m", "1m")
    receiver, = (one for one in configuration["receivers"] if one["name"] == "dead-mans-switch")
    assert not any(webhook["send_resolved"] for webhook in receiver["webhook_configs"])


def test_the_receiver_on_aws_takes_its_place(tmp_path):
    page = (OBSERVABILITY.parent / "docs/platform-alarms.md").read_text()
    snippet, = re.findall(r"```yaml\n(receivers:\n.*?)```", page, re.DOTALL)
    [replaced] = yaml.safe_load(snippet)["receivers"]
    configuration = yaml.safe_load(CONFIGURATION.read_text())
    assert replaced["name"] in [one["name"] for one in configuration["receivers"]]
    configuration["receivers"] = [replaced if one["name"] == replaced["name"] else one for one in configuration["receivers"]]
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(configuration))
    subprocess.run(["amtool", "check-config", tmp_path / "alertmanager.yml"], check=True)


class Alertmanager(Process):
    def __init__(self, directory):
        self.api = f"http://127.0.0.1:{free_port()}"
        command = [
            "alertmanager",
            f"--config.file={CONFIGURATION}",
            f"--storage.path={directory}/data",
            f"--web.listen-address={self.api.removeprefix('http://')}",
            "--cluster.listen-address=",
        ]
        super().__init__(command, directory / "log")
        with self.starting():
            self.until("it is ready", lambda: responds_ok(f"{self.api}/-/ready"))

    def raise_alerts(self, *labelled):
        body = [{"labels": labels} for labels in labelled]
        status, text = http_request("POST", f"{self.api}/api/v2/alerts", body, {"content-type": "application/json"})
        assert status == 200, text


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory):
    with Alertmanager(tmp_path_factory.mktemp("alertmanager")) as alertmanager:
        yield alertmanager


FAST, SLOW, TICKET = ("ShoutbackAvailabilityBurnFast", "page"), ("ShoutbackAvailabilityBurnSlow", "page"), ("ShoutbackAvailabilityTicket", "ticket")
LOCAL = {"slo": "latency-local"}

INHIBITIONS = {
    # The firing alerts, and those of them that are inhibited.
    "burn": ([FAST, SLOW, TICKET], [SLOW, TICKET]),
    "slow burn": ([SLOW, TICKET], [TICKET]),
    "a replica": ([("ShoutbackReplicaDown", "ticket"), ("ShoutbackNoTraffic", "page")], []),
    "all replicas": (
        [("ShoutbackReplicaDown", "page"), ("ShoutbackReplicaDown", "ticket"), ("ShoutbackNoTraffic", "page")],
        [("ShoutbackReplicaDown", "ticket"), ("ShoutbackNoTraffic", "page")],
    ),
    "causes": ([("ShoutbackBreakerOpen", "ticket"), ("ShoutbackRetryBudgetEmpty", "ticket"), FAST], []),
    "stale keys": (
        [("ShoutbackKeySetStale", "page"), ("ShoutbackKeySetStale", "ticket")],
        [("ShoutbackKeySetStale", "ticket")],
    ),
    "no keys": ([("ShoutbackKeysUnavailable", "ticket"), ("ShoutbackKeySetStale", "page"), FAST], []),
}


def test_consequences_of_another_alert_are_inhibited(alertmanager):
    """Each case has its own environment, so that none inhibits alerts of another."""
    expected = {}
    for case, (fires, inhibited) in INHIBITIONS.items():
        for name, severity in fires:
            slo = {"slo": "availability"} if "Availability" in name else {}
            alertmanager.raise_alerts(LABELS | slo | {"alertname": name, "severity": severity, "environment": case})
            expected[case, name, severity] = (name, severity) in inhibited
    # The page of one pool does not inhibit the ticket of another.
    for pool, severity in [("a", "page"), ("b", "ticket")]:
        name = "ShoutbackKeySetStale"
        alertmanager.raise_alerts(LABELS | {"alertname": name, "severity": severity, "environment": "two pools", "pool": pool})
        expected["two pools", name, severity] = False
    # Of the stack's alerts, the urgent one inhibits the others in the same namespace.
    for name, severity, suppressed in [("NodeFilesystemSpaceFillingUp", "critical", False), ("NodeFilesystemSpaceFillingUp", "warning", True)]:
        alertmanager.raise_alerts({"alertname": name, "severity": severity, "environment": "stack", "namespace": "monitoring"})
        expected["stack", name, severity] = suppressed
    # The fast burn of one SLO does not inhibit the slow burn of another.
    for name, slo in [("ShoutbackLatencyBurnFast", "latency"), ("ShoutbackLatencyBurnSlow", "latency-local")]:
        alertmanager.raise_alerts(LABELS | {"alertname": name, "severity": "page", "environment": "two SLOs", "slo": slo})
        expected["two SLOs", name, "page"] = False

    def suppressed():
        found = alertmanager_alerts(alertmanager)
        return found if len(found) == len(expected) and None not in found.values() else None

    assert wait_until("all are processed", suppressed) == expected


def alertmanager_alerts(alertmanager):
    """Returns whether each alert is suppressed, by case, name and severity; None while undecided."""
    _, text = http_request("GET", f"{alertmanager.api}/api/v2/alerts")
    states = {"active": False, "suppressed": True}
    return {
        tuple(alert["labels"][name] for name in ["environment", "alertname", "severity"]): states.get(alert["status"]["state"])
        for alert in json.loads(text)
    }
