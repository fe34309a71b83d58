"""Every query of every dashboard finds what it asks for in the real Prometheus, which scraped the real service under faults."""

import math
import re

import pytest
from conftest import INTERVAL
from dashboards import DASHBOARDS, filled_in, links, queries, variables
from traffic import PRODUCTION, STAGING

# As Grafana has them: "All" is the variable's `allValue`. The rate's interval would be four scrapes; a busy machine misses some.
VALUES = {
    "environment": PRODUCTION,
    "instance": ".*",
    "client": ".*",
    "__rate_interval": f"{8 * INTERVAL:g}s",
    "__range": "1m",
}

# These may stay at 0, for a reason.
STILL = {
    "runtime: Processor: A": "the counter has whole seconds, and a run takes too few",
    "runtime: Address space: B": "a machine without a limit has 0",
    "runtime: Tasks that wait for a worker: A": "seldom at the moment that is looked at",
}

ALL = [pytest.param(name, panel, query, id=name) for name, panel, query in queries()]


@pytest.fixture(scope="session")
def answers(recorded):
    """Series of every query, by its name."""
    return {name: recorded.over_time(filled_in(query["expr"], VALUES)) for name, _, query in queries()}


def numbers(series):
    return [value for _, samples in series for _, value in samples if math.isfinite(value)]


@pytest.mark.parametrize("name, panel, query", ALL)
def test_it_finds_something(name, panel, query, answers):
    assert numbers(answers[name]), f"no data: {query['expr']}"


@pytest.mark.parametrize("name, panel, query", ALL)
def test_what_happened_is_seen(name, panel, query, answers):
    """A panel that shows 0 whatever happens would be as good as none."""
    assert any(numbers(answers[name])) or name in STILL, query["expr"]


@pytest.mark.parametrize("name, panel, query", [one for one in ALL if one.values[2]["instant"]])
def test_it_finds_something_now(name, panel, query, recorded):
    values = [value for _, value in recorded.at_the_end(filled_in(query["expr"], VALUES))]
    assert any(math.isfinite(value) for value in values)


@pytest.mark.parametrize("name, panel, query", ALL)
def test_legends_name_labels(name, panel, query, answers):
    """Each series has a legend of its own, made of labels that it has."""
    legends = []
    for labels, _ in answers[name]:
        wanted = re.findall(r"\{\{(\w+)\}\}", query["legendFormat"])
        assert all(labels.get(label) for label in wanted), labels
        legends.append(re.sub(r"\{\{(\w+)\}\}", lambda match: labels[match[1]], query["legendFormat"]))
    if panel["type"] != "table":
        assert len(set(legends)) == len(legends), legends


def linked():
    for name, panel, query in queries():
        for link in links(panel):
            for label in re.findall(r"\$\{__(?:field\.labels|data\.fields)\.(\w+)\}", link["url"]):
                yield pytest.param(name.rpartition(":")[0], label, id=f"{name}: {link['title']}: {label}")


@pytest.mark.parametrize("panel, label", list(linked()))
def test_links_name_labels(panel, label, answers):
    """A link that hands on a label is on a panel whose series have it."""
    series = [labels for name, found in answers.items() if name.rpartition(":")[0] == panel for labels, _ in found]
    assert any(labels.get(label) for labels in series)


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
def test_variables_find_values(dashboard, recorded):
    found = {}
    for variable in variables(dashboard).values():
        if variable["type"] == "query":
            asked = filled_in(variable["query"]["query"], VALUES)
            selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", asked).groups()
            found[variable["name"]] = recorded.prometheus.get(f"label/{label}/values", **{"match[]": selector})
    assert found["environment"] == [PRODUCTION, STAGING]
    assert found["instance"] == ["one", "two"]
    assert found.get("client", ["anonymous"]), found


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
def test_alerts_are_marked(dashboard, recorded):
    annotation, = dashboard["annotations"]["list"]
    found = recorded.over_time(filled_in(annotation["expr"], VALUES))
    assert "ShoutbackAvailabilityBurnFast" in {labels["alertname"] for labels, _ in found}
    for labels, _ in found:
        assert labels["environment"] == PRODUCTION
        for label in re.findall(r"\{\{(\w+)\}\}", annotation["titleFormat"] + annotation["textFormat"]):
            assert labels[label]


def test_the_budget_is_what_was_not_lost(recorded):
    """The figures that people act on, against the counters themselves."""
    answers = {name: query["expr"] for name, _, query in queries()}
    failed, counted = (
        sum(value for _, value in recorded.at_the_end(f"http_server_request_duration_seconds_count{{{which}}}"))
        for which in (
            'environment="production",http_route="/v1",http_response_status_code=~"5..",error_type!="keys-unavailable"',
            'environment="production",http_route="/v1",error_type!~"cancelled|keys-unavailable"',
        )
    )
    (_, left), = recorded.at_the_end(filled_in(answers["service: Error budget left: A"], VALUES))
    # `increase` extrapolates from the first and last scrape.
    assert left == pytest.approx(1 - failed / counted / 0.001, rel=0.3)
    assert left < 0
