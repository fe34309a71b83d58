"""Every query of alarms and dashboard uses metrics and labels that are exported to CloudWatch, and has a result."""

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
        if widget["type"] == "chart":
            for query in widget["properties"]["data"]["queries"]:
                found[f"{widget['properties']['title']}: {query['id']}"] = query["query"]
    return found


@pytest.fixture(scope="module")
def queries(cloudwatch):
    return queries_of_alarms(cloudwatch) | queries_of_panels(cloudwatch)


@pytest.fixture(scope="module")
def exported(scraped):
    """Returns the names of exported metrics, each with the attributes of its points."""
    found = {}
    for name, _, attributes, _ in scraped.metrics:
        found.setdefault(name, set()).update(attributes)
    return found


def documented(name):
    """Returns the labels of a metric in docs/metrics.md: some only exist after a failure."""
    row = re.search(rf"^\| `{name}` \| [^|]* \|(.*)\|$", DOCS, re.M)
    return set(re.findall(r"`([a-z_]+)`(?::|,|;| \|| *$)", row[1])) if row else set()


def test_metrics_and_labels_are_exported(queries, exported):
    for title, query in queries.items():
        found = selectors(query)
        assert found, title
        known = {"environment", "pod", "namespace"}
        for selector in found:
            name, _, matchers = selector.partition("{")
            assert name in exported, f"{title}: {name} is not exported"
            known |= exported[name] | documented(name)
            labels = set(re.findall(r'(\w+)\s*[=!]~?\s*"', matchers))
            assert labels <= exported[name] | documented(name), f"{title}: {name} has no {labels - exported[name] - documented(name)}"
            assert f'environment="{VARIABLES["environment"]}"' in matchers, f"{title}: {name} of all environments"
        grouped = re.findall(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)", query)
        labels = {label.strip() for group in grouped for label in group.split(",")} - {""}
        assert labels <= known, f"{title}: {labels - known}"


def test_histograms_are_queried_as_native_histograms(queries, scraped):
    """A function for counters returns nothing for histograms and vice versa, without an error."""
    kinds = {name: kind for name, kind, _, _ in scraped.metrics}
    for title, query in queries.items():
        for selector in selectors(query):
            name = selector.partition("{")[0]
            if kinds[name] == "histogram":
                assert re.search(r"histogram_(count|quantile)\(", query), title


def test_panels_have_data(cloudwatch, store, scraped):
    for title, query in queries_of_panels(cloudwatch).items():
        replaced = query.replace(VARIABLES["environment"], "test")
        store.until(f"there is data for {title}", lambda: store.get("query", query=replaced)[0]["result"])


def test_alarms_are_valid_queries(cloudwatch, store, scraped):
    for title, query in queries_of_alarms(cloudwatch).items():
        _, remarks = store.get("query", query=query.replace(VARIABLES["environment"], "test"))
        assert not [remark for remark in remarks if "histogram" in remark], (title, remarks)


def seconds(duration):
    return sum(int(number) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[unit] for number, unit in re.findall(r"(\d+)([smhd])", duration))


def test_no_query_looks_back_more_than_24_hours(queries):
    """A range of CloudWatch's PromQL ends there, and an alarm that looks back further never evaluates."""
    # Matchers hold brackets too: `http_route=~"/v[0-9].*"`.
    bare = {title: re.sub(r'"[^"]*"', '""', query) for title, query in queries.items()}
    looked = {title: re.findall(r"\[(\w+)[^]]*\](?: offset (\w+))?", query) for title, query in bare.items()}
    assert any(offset for ranges in looked.values() for _, offset in ranges)
    for title, ranges in looked.items():
        for length, offset in ranges:
            assert 0 < seconds(length) <= seconds(length) + seconds(offset) <= 86_400, (title, length, offset)


def test_only_documented_metrics_are_exported(exported):
    """Exported metrics are documented, or are the collector's own. Prometheus' metrics about scraping are not exported."""
    unknown = {name for name in exported if f"`{name}`" not in DOCS and not name.startswith("otelcol_")}
    assert unknown == {"up"}


def test_series_are_few(scraped):
    """A replica of the service has some 150 points per scrape, independent of its clients."""
    points = [point for point in scraped.metrics if point[3]["service.name"] == "shoutback"]
    service = {(name, json.dumps(attributes, sort_keys=True)) for name, _, attributes, _ in points}
    assert 100 < len(service) < 300


def test_a_point_identifies_its_replica(scraped):
    for name, _, attributes, resource in scraped.metrics:
        assert attributes["environment"] == "test"
        assert resource["cloud.region"] == VARIABLES["region"] and resource["deployment.environment.name"] == "test"
        if resource["service.name"] == "shoutback":
            assert attributes["pod"] and attributes["namespace"], name
