"""The alerts about Argo CD and overrides, run by promtool."""

import json
import subprocess

import pytest

from harness.runbooks import runbooks

INFO = 'argocd_app_info{{name="logging",sync_status="{sync}",health_status="{health}",phase="{phase}"}}'
HEALTHY = {"sync": "Synced", "health": "Healthy", "phase": "Succeeded"}
# By alert: the series that fires it, and the minutes after which it must and must not have fired.
FIRES = {
    "ArgoCDOutOfSync": (INFO.format(**HEALTHY | {"sync": "OutOfSync"}), 30),
    "ArgoCDDegraded": (INFO.format(**HEALTHY | {"health": "Degraded"}), 15),
    "ArgoCDSyncRunsTooLong": (INFO.format(**HEALTHY | {"phase": "Running"}), 30),
    "ArgoCDAbsent": (None, 15),
    "ShoutbackOverridden": ('kube_pod_labels{namespace="shoutback",pod="a",label_shoutback_override="true"}', 24 * 60),
}


@pytest.fixture
def run(applications, tmp_path):
    """`run(series, minutes)` returns the alerts that fire after that time."""
    rules = applications["platform"].one("PrometheusRule")["spec"]
    (tmp_path / "rules.yaml").write_text(json.dumps(rules))
    names = [rule["alert"] for group in rules["groups"] for rule in group["rules"]]
    assert set(names) == FIRES.keys()

    def run(series, minutes):
        fired = set()
        for name in names:
            given = [{"series": one, "values": f"1x{minutes + 5}"} for one in series]
            test = {"interval": "1m", "input_series": given, "alert_rule_test": [{"eval_time": f"{minutes}m", "alertname": name, "exp_alerts": []}]}
            (tmp_path / "test.yaml").write_text(json.dumps({"rule_files": ["rules.yaml"], "tests": [test]}))
            done = subprocess.run(["promtool", "test", "rules", tmp_path / "test.yaml"], capture_output=True, text=True)
            output = done.stdout + done.stderr
            assert done.returncode == 0 or "got:" in output, output
            fired |= {name} if done.returncode else set()
        return fired

    return run


def test_each_alert_links_to_its_runbook_and_a_page_of_the_tools(applications):
    for group in applications["platform"].one("PrometheusRule")["spec"]["groups"]:
        for rule in group["rules"]:
            annotations = rule["annotations"]
            assert annotations.keys() == {"summary", "description", "runbook_url", "dashboard_url"}
            assert annotations["runbook_url"] == f"https://docs.example.com/runbooks/{rule['alert']}.md" and rule["alert"] in runbooks()
            assert annotations["dashboard_url"].startswith("https://tools.")


@pytest.mark.parametrize("alert", FIRES)
def test_each_alert_fires_by_its_fault_alone(run, alert):
    series, minutes = FIRES[alert]
    always = [] if alert == "ArgoCDAbsent" else [INFO.format(**HEALTHY)]
    faulty = always + ([series] if series else [])
    if alert in ("ArgoCDOutOfSync", "ArgoCDDegraded", "ArgoCDSyncRunsTooLong"):
        faulty = [series]
    assert run(faulty, minutes) == {alert}
    assert run(faulty, minutes - 2) == set()


def test_nothing_fires_while_all_is_well(run):
    ordinary = 'kube_pod_labels{namespace="shoutback",pod="a"}'
    assert run([INFO.format(**HEALTHY), ordinary], 24 * 60 + 1) == set()
