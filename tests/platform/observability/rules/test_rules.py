"""The rule files: promtool accepts them, and each alert has annotations, a runbook and tests."""

import re
import subprocess

import incidents
import pytest
import yaml
from shipped import DOCS, OBSERVABILITY, RULES, TESTS, alerts, identified, rules, selectors

from harness.runbooks import runbooks


def test_promtool_accepts_them():
    subprocess.run(["promtool", "check", "rules", "--lint=all", "--lint-fatal", *RULES], check=True)


def test_promtool_tests_pass(promtool_tests):
    promtool_tests.child.wait(timeout=900)
    assert promtool_tests.child.returncode == 0, promtool_tests.output()


@pytest.mark.parametrize("rule", alerts(), ids=identified)
def test_it_has_severity_and_annotations(rule):
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["labels"]["team"] == "shoutback"
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url", "dashboard_url"}
    assert rule["annotations"]["runbook_url"] == f"RUNBOOK_BASE_URL/runbooks/{rule['alert']}.md" and rule["alert"] in runbooks()
    assert "$labels.environment" in rule["annotations"]["summary"]


@pytest.mark.parametrize("rule", alerts(), ids=identified)
def test_its_texts_are_grammatical_for_one(rule):
    """A number before a noun would make it "1 replicas"."""
    for text in (rule["annotations"]["summary"], rule["annotations"]["description"]):
        assert not re.search(r"\$value(?: \| humanize)? *\}\} \w", text), text


CASES = [(path, case) for path in TESTS for case in yaml.safe_load(path.read_text())["tests"]]


def selects(expression, name):
    return any(re.fullmatch(pattern, name) for pattern in re.findall(r'alertname=~?"([^"]+)"', expression))


def expectations(cases=CASES):
    """Returns the expectations of promtool's tests as pairs of expression and samples."""
    return [(test["expr"], test["exp_samples"]) for _, case in cases for test in case["promql_expr_test"]]


@pytest.mark.parametrize(("path", "case"), CASES, ids=lambda value: value["name"] if isinstance(value, dict) else value.stem)
def test_what_must_not_fire_in_a_case_does_elsewhere_in_it(path, case):
    """Otherwise the case would pass without the rule, or with samples that are too far apart for a rate."""
    names = {rule["alert"] for rule in alerts()}
    found = expectations([(path, case)])

    def objectives(expected):
        """The alerts of an objective have the same recorded series, so one of them suffices."""
        selected = {name for name in names for expression, samples in found if bool(samples) == expected and selects(expression, name)}
        return {re.sub(r"(BurnFast|BurnSlow|Ticket)$", "", name) for name in selected}

    assert objectives(False) - objectives(True) == set()


@pytest.mark.parametrize("rule", alerts(), ids=identified)
def test_promtool_tests_it_firing(rule):
    name, severity = rule["alert"], rule["labels"]["severity"]
    shared = sum(other["alert"] == name for other in alerts()) > 1

    relevant = [(expression, samples) for expression, samples in expectations() if selects(expression, name)]
    # If alerts share a name, the test in which one fires must name its severity.
    in_tests = any(
        name in text and (not shared or f'severity="{severity}"' in text)
        for text in (f"{expression} {samples}" for expression, samples in relevant if samples)
    )
    in_incidents = any(name in incident.alerts and getattr(incident, severity) is not None for incident in incidents.PAIN)
    assert in_tests or in_incidents, "add a test in which it fires to observability/prometheus/tests"
    # Where it must not fire: in every row of INNOCENCE.


def test_recorded_series_of_alerts_exist():
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    names = re.compile(r"\b\w+:\w+(?::\w+)?\b")
    assert {name for rule in rules() for name in names.findall(rule["expr"]) if "/" not in name} <= recorded
    panels = "".join(path.read_text() for path in (OBSERVABILITY / "grafana/dashboards").glob("*.json"))
    used = {name for rule in rules() for name in names.findall(rule["expr"])} | set(names.findall(panels))
    assert recorded <= used


def alternatives(selector):
    """Yields the selector once for each value that a matcher lists. Each kind of failed attempt would take a fault of its own."""
    matcher = re.search(r'(?<!le)(?<!error_type)=~"([\w-]+(?:\|[\w-]+)+)"', selector)
    if not matcher:
        return [selector]
    parts = [f'{selector[:matcher.start()]}="{value}"{selector[matcher.end():]}' for value in matcher[1].split("|")]
    return [found for part in parts for found in alternatives(part)]


SELECTORS = sorted({one for rule in rules() for selector in selectors(rule["expr"]) for one in alternatives(selector)})


def test_the_service_documents_the_kinds_of_failed_attempts():
    """A test of the service compares its label values with the page."""
    page = (DOCS / "metrics.md").read_text().partition("| `http_client_request_duration_seconds`")[2]
    values = page.partition("\n- `error_type`: ")[2].partition("\n- ")[0]
    listed = {value for selector in SELECTORS for values in re.findall(r'error_type=~"([^"]+)"', selector) for value in values.split("|")}
    assert listed and listed <= set(re.findall(r"`(\w+)`", values))


@pytest.mark.parametrize("selector", SELECTORS)
def test_the_service_emits_it(selector, run):
    assert run.prometheus.query(f"count({selector})"), "no such series: the service must export it at zero, or an environment needs a fault"
