"""Syntax of PromQL in rules, their tests, dashboards, runbooks and the metrics adapter; labels and annotations of alerts."""

import collections
import json
import re

import promql_parser
import pytest
import yaml
from files import TOP

from harness.runbooks import queries

RULES = sorted((TOP / "observability/prometheus/rules").glob("*.yaml"))
TESTS = sorted((TOP / "observability/prometheus/tests").glob("*.yaml"))
DASHBOARDS = sorted((TOP / "observability/grafana/dashboards").glob("*.json"))
ADAPTER = TOP / "gitops/platform/values/prometheus-adapter.yaml"
RUNBOOKS = sorted({path for path, _ in queries()})

# Variables of Grafana and the adapter that stand for more than a word.
FILLED_IN = {"__range": "1h", "__rate_interval": "1m", "__interval": "1m", "LabelMatchers": 'namespace="shoutback"', "GroupBy": "namespace"}


def filled_in(expression):
    """Replaces the variables in an expression."""
    return re.sub(r"\$\{?(\w+)\}?|<<\.(\w+)>>", lambda match: FILLED_IN.get(match[1] or match[2], "word"), expression)


def under(node, key):
    """Yields every string of that key, at any depth."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key and isinstance(value, str):
                yield value
            yield from under(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from under(value, key)


def rules():
    return [rule for path in RULES for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def expressions():
    """Yields pairs of file and expression."""
    for path in [*RULES, *TESTS]:
        for expression in under(yaml.safe_load(path.read_text()), "expr"):
            yield path, expression
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        for expression in under(dashboard, "expr"):
            yield path, expression
        for query in under(dashboard["templating"], "query"):
            if found := re.fullmatch(r"label_values\((.+), \w+\)", query):
                yield path, found[1]
    yield from queries()
    for key in ("seriesQuery", "metricsQuery"):
        for expression in under(yaml.safe_load(ADAPTER.read_text()), key):
            yield ADAPTER, expression


def fault(expression):
    """Returns the parser's error, or an empty string."""
    try:
        promql_parser.parse(filled_in(expression))
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("path", [*RULES, *TESTS, *DASHBOARDS, ADAPTER, *RUNBOOKS], ids=lambda path: str(path.relative_to(TOP)))
def test_each_expression_parses(path):
    found = [expression for where, expression in expressions() if where == path]
    assert found
    assert {expression: fault(expression) for expression in found if fault(expression)} == {}


@pytest.mark.parametrize("expression", ["up{", "sum(rate(x[5m])", "rate(x)", "gone(x)", "topk(x)", "rate(x[5z])", 'x{a="$instance} > 1', "x[$gone]"])
def test_faulty_expressions_are_found(expression):
    assert fault(expression)


def uncommon(alerts):
    """Yields what an alert's labels and annotations lack, or have too many, compared with most alerts."""
    for kind in ("labels", "annotations"):
        names = [frozenset(alert.get(kind, {})) for alert in alerts]
        [(usual, _)] = collections.Counter(names).most_common(1)
        for alert, present in zip(alerts, names, strict=True):
            # Additional labels, such as `slo`, are fine.
            wrong = usual - present if kind == "labels" else usual ^ present
            if wrong:
                yield f"{alert['alert']}: {kind} {sorted(wrong)}"
        yield from (f"{alert['alert']}: {kind} {name} is empty" for alert in alerts for name, text in alert.get(kind, {}).items() if not text)


def test_alerts_have_the_usual_labels_and_annotations():
    alerts = [rule for rule in rules() if "alert" in rule]
    assert len(alerts) > 10
    assert list(uncommon(alerts)) == []


ALERT = {"alert": "A", "labels": {"severity": "page", "team": "t"}, "annotations": {"summary": "s", "runbook_url": "u"}}


@pytest.mark.parametrize(
    "instead",
    [
        {"labels": {"severity": "page"}},
        {"labels": {"severity": "page", "team": ""}},
        {"annotations": {"summary": "s"}},
        {"annotations": {"summary": "s", "runbook_url": "u", "runbok": "u"}},
    ],
)
def test_an_incomplete_alert_is_found(instead):
    assert list(uncommon([ALERT, ALERT])) == []
    assert list(uncommon([ALERT, ALERT, ALERT | instead]))
