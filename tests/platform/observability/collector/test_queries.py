"""Every query of alarms and dashboard asks for metrics and labels that leave for CloudWatch, and gets an answer there."""

import json
import re
from pathlib import Path

import pytest
from cloudwatch import VARIABLES
from shipped import selectors

DOCS = (Path(__file__).parents[4] / "docs/metrics.md").read_text()


def queries_of_alarms(cloudwatch):
    return {alarm["AlarmName"]: alarm["EvaluationCriteria"]["PromQLCriteria"]["Query"] for alarm in cloudwatch["metric_alarms"]}


def queries_of_panels(cloudwatch):
    found = {}
    for widget in json.loads(cloudwatch["dashboard"])["widgets"]:
        if widget["type"] == "metric":
            for (metric,) in widget["properties"]["metrics"]:
                inside = re.fullmatch(r'PROMQL\("(.*)"\)', metric["expression"], re.S)[1]
                found[f"{widget['properties']['title']}: {metric['id']}"] = inside.replace('\\"', '"')
    return found


@pytest.fixture(scope="module")
def queries(cloudwatch):
    return queries_of_alarms(cloudwatch) | queries_of_panels(cloudwatch)


@pytest.fixture(scope="module")
def left(scraped):
    """Names of metrics that have left, each with the attributes of its points."""
    found = {}
    for name, _, attributes, _ in scraped.metrics:
        found.setdefault(name, set()).update(attributes)
    return found


def documented(name):
    """The labels that docs/metrics.md gives a metric: some are only there once something went wrong."""
    row = re.search(rf"^\| `{name}` \| [^|]* \|(.*)\|$", DOCS, re.M)
    return set(re.findall(r"`([a-z_]+)`(?::|,|;| \|| *$)", row[1])) if row else set()


def test_metrics_and_labels_are_ones_that_leave(queries, left):
    for title, query in queries.items():
        asked = selectors(query)
        assert asked, title
        known = {"environment", "pod", "namespace"}
        for selector in asked:
            name, _, matchers = selector.partition("{")
            assert name in left, f"{title}: no metric {name} leaves"
            known |= left[name] | documented(name)
            labels = set(re.findall(r'(\w+)\s*[=!]~?\s*"', matchers))
            assert labels <= left[name] | documented(name), f"{title}: {name} has no {labels - left[name] - documented(name)}"
            assert f'environment="{VARIABLES["environment"]}"' in matchers, f"{title}: {name} of all environments"
        grouped = re.findall(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)", query)
        labels = {label.strip() for group in grouped for label in group.split(",")}
        assert labels <= known, f"{title}: {labels - known}"


def test_histograms_are_asked_as_such_and_counters_not(queries, scraped):
    """A function for the one gives nothing for the other, without an error."""
    kinds = {name: kind for name, kind, _, _ in scraped.metrics}
    for title, query in queries.items():
        for selector in selectors(query):
            name = selector.partition("{")[0]
            if kinds[name] == "histogram":
                assert re.search(r"histogram_(count|quantile)\(", query), title


def test_panels_get_an_answer(cloudwatch, store, scraped):
    for title, query in queries_of_panels(cloudwatch).items():
        asked = query.replace(VARIABLES["environment"], "test")
        store.until(f"there is an answer for {title}", lambda: store.get("query", query=asked)[0]["result"])


def test_alarms_are_understood(cloudwatch, store, scraped):
    for title, query in queries_of_alarms(cloudwatch).items():
        _, remarks = store.get("query", query=query.replace(VARIABLES["environment"], "test"))
        assert not [remark for remark in remarks if "histogram" in remark], (title, remarks)


def test_little_is_sent_that_nobody_asks_for(left):
    """What leaves is documented, or tells how the collector does. Prometheus' notes about scraping stay here."""
    unknown = {name for name in left if f"`{name}`" not in DOCS and not name.startswith("otelcol_")}
    assert unknown == {"up"}


def test_series_are_few(scraped):
    """A replica of the service costs some 150 points a scrape, whatever its consumers do."""
    points = [point for point in scraped.metrics if point[3]["service.name"] == "shoutback"]
    service = {(name, json.dumps(attributes, sort_keys=True)) for name, _, attributes, _ in points}
    assert 100 < len(service) < 300


def test_a_point_says_which_replica_it_is_of(scraped):
    for name, _, attributes, resource in scraped.metrics:
        assert attributes["environment"] == "test"
        assert resource["cloud.region"] == VARIABLES["region"] and resource["deployment.environment.name"] == "test"
        if resource["service.name"] == "shoutback":
            assert attributes["pod"] and attributes["namespace"], name
