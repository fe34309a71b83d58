"""Every query of every dashboard has data in a real Prometheus, which scraped the real service under faults."""

import math
import re

import pytest
from conftest import INTERVAL, SCALE
from dashboards import DASHBOARDS, filled_in, links, queries, variables
from traffic import PRODUCTION, STAGING

from harness.rules import divided

# As in Grafana: "All" is the variable's `allValue`. The rate interval would be four scrapes, but a busy machine misses some.
VALUES = {
    "environment": PRODUCTION,
    "instance": ".*",
    "client": ".*",
    "__rate_interval": f"{8 * INTERVAL:g}s",
    "__range": "1m",
}

# Queries that may stay at 0, and why.
STILL = {
    "runtime: CPU: A": "the counter has a resolution of a second, and a run uses less",
    "runtime: Address space: B": "a machine without a limit has 0",
    "runtime: Tasks that wait for a worker: A": "rarely at the time of the scrape",
}

ALL = [pytest.param(name, panel, query, id=name) for name, panel, query in queries()]


@pytest.fixture(scope="session")
def results(recorded):
    """Returns the series of every query by its name."""
    return {name: recorded.over_time(filled_in(query["expr"], VALUES)) for name, _, query in queries()}


def numbers(series):
    return [value for _, samples in series for _, value in samples if math.isfinite(value)]


@pytest.mark.parametrize("name, panel, query", ALL)
def test_it_has_data(name, panel, query, results):
    assert numbers(results[name]), f"no data: {query['expr']}"


@pytest.mark.parametrize("name, panel, query", ALL)
def test_it_shows_the_faults(name, panel, query, results):
    """A panel that always shows 0 is useless."""
    assert any(numbers(results[name])) or name in STILL, query["expr"]


@pytest.mark.parametrize("name, panel, query", [one for one in ALL if one.values[2]["instant"]])
def test_it_has_current_data(name, panel, query, recorded):
    values = [value for _, value in recorded.at_the_end(filled_in(query["expr"], VALUES))]
    assert any(math.isfinite(value) for value in values)


@pytest.mark.parametrize("name, panel, query", ALL)
def test_legends_name_labels(name, panel, query, results):
    """Each series has a unique legend of its own labels."""
    legends = []
    for labels, _ in results[name]:
        used = re.findall(r"\{\{(\w+)\}\}", query["legendFormat"])
        assert all(labels.get(label) for label in used), labels
        legends.append(re.sub(r"\{\{(\w+)\}\}", lambda match: labels[match[1]], query["legendFormat"]))
    if panel["type"] != "table":
        assert len(set(legends)) == len(legends), legends


def linked():
    for name, panel, query in queries():
        for link in links(panel):
            for label in re.findall(r"\$\{__(?:field\.labels|data\.fields)\.(\w+)\}", link["url"]):
                yield pytest.param(name.rpartition(":")[0], label, id=f"{name}: {link['title']}: {label}")


@pytest.mark.parametrize("panel, label", list(linked()))
def test_links_name_labels(panel, label, results):
    """The series of a panel have each label that its links use."""
    series = [labels for name, found in results.items() if name.rpartition(":")[0] == panel for labels, _ in found]
    assert any(labels.get(label) for labels in series)


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
def test_variables_find_values(dashboard, recorded):
    found = {}
    for variable in variables(dashboard).values():
        if variable["type"] == "query":
            query = filled_in(variable["query"]["query"], VALUES)
            selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", query).groups()
            found[variable["name"]] = recorded.prometheus.get(f"label/{label}/values", **{"match[]": selector})
    assert found["environment"] == [PRODUCTION, STAGING]
    assert found.get("instance", ["one", "two"]) == ["one", "two"]
    assert found.get("client", ["anonymous"]), found


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
def test_alerts_are_annotations(dashboard, recorded):
    annotation, _ = dashboard["annotations"]["list"]
    found = recorded.over_time(filled_in(annotation["expr"], VALUES))
    assert "ShoutbackAvailabilityBurnFast" in {labels["alertname"] for labels, _ in found}
    for labels, _ in found:
        assert labels["environment"] == PRODUCTION
        for label in re.findall(r"\{\{(\w+)\}\}", annotation["titleFormat"] + annotation["textFormat"]):
            assert labels[label]


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
def test_deployments_are_annotations(dashboard, recorded):
    """A version is marked until it is five minutes old."""
    _, annotation = dashboard["annotations"]["list"]
    found = recorded.over_time(filled_in(annotation["expr"], VALUES))
    assert found
    for labels, _ in found:
        assert labels.keys() >= set(re.findall(r"\{\{(\w+)\}\}", annotation["titleFormat"] + annotation["textFormat"]))
    later = recorded.over_time(filled_in(annotation["expr"].replace("offset 5m", "offset 5s"), VALUES))
    assert len(numbers(later)) < len(numbers(found))


def test_the_error_budget_is_correct(recorded):
    """Compares the panel, which reads recorded rates, with the rates of the counters at the same times."""
    results = {name: query["expr"] for name, _, query in queries()}
    budgets = recorded.at_the_end(filled_in(results["slo: Budgets over time: A"], VALUES))
    remaining, = (value for labels, value in budgets if labels["slo"] == "availability")
    times = recorded.evaluations('job_environment_slo:shoutback_total:rate5m{environment="production",slo="availability"}')
    requests = 'http_server_request_duration_seconds_count{environment="production",http_route="/v1",http_response_status_code=~"%s"}'
    failed, counted = (
        recorded.summed(f"sum(rate({requests % statuses}[{divided('5m', SCALE)}]))", times) for statuses in ("5..", "2..|5..")
    )
    # A scrape that is in progress at an evaluation is stored after it, with a time before it.
    assert remaining == pytest.approx(1 - failed / counted / 0.001, rel=0.2)
    assert remaining < 0
