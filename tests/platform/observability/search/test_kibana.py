"""Runs each saved search, panel and rule on the real index; each finds exactly its events."""

import collections
import fnmatch
import importlib.machinery
import importlib.util
import json
import time
from datetime import datetime

import kibana
import pytest
import traffic

SEARCHES = kibana.objects("search")
PANELS = kibana.objects("visualization")
RULES = kibana.rules()
MINUTE = 60_000


def generator():
    path = str(kibana.SHIPPED / "generate")
    spec = importlib.util.spec_from_loader("generate", importlib.machinery.SourceFileLoader("generate", path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_files_are_up_to_date():
    written = dict(generator().files())
    assert {path.name for path in (kibana.SHIPPED / "rules").iterdir()} == {path.name for path in written if path.parent.name == "rules"}
    for path, text in written.items():
        assert path.read_text() == text, f"{path} is stale: run observability/kibana/generate"


def is_request(event):
    return event.get("event.action") == "request"


def status(event):
    return event.get("http.response.status_code", 0)


def is_broken(event):
    return event.get("error.type") == "json" or "of another shape" in str(event)


def has_secret(event):
    return any(secret in str(event) for secret in traffic.SECRETS)


# The expected events of each search, implemented a second time.
FOUND_BY_SEARCH = {
    "failed-requests": lambda event: is_request(event) and status(event) >= 400,
    "one-request": lambda event: event.get("http.request.id") == "one-of-many",
    "one-trace": lambda event: event.get("trace.id") == traffic.TRACE,
    "slow-requests": lambda event: is_request(event) and event["event.duration"] >= 1_000_000_000,
    "breaker-changes": lambda event: "shoutback.breaker.to" in event,
    "key-refresh-failures": lambda event: event.get("event.action") == "key-refresh",
    "refusals": lambda event: is_request(event) and 400 <= status(event) < 500,
    "cancelled-requests": lambda event: event.get("error.type") == "cancelled",
    "broken-lines": is_broken,
    "redacted-lines": has_secret,
    "panics": lambda event: event.get("event.action") == "panic" or event.get("shoutback.stop.cut_off", 0) > 0,
}
PLACEHOLDERS = {
    "one-request": ("put-the-request-id-here", "one-of-many"),
    "one-trace": ("put-the-trace-id-here", traffic.TRACE),
}


def test_every_search_and_panel_is_tested():
    assert set(SEARCHES) == set(FOUND_BY_SEARCH)
    assert set(PANELS) == set(SHOWN_BY_PANEL)


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_finds_exactly_its_events(index, name):
    query = json.dumps(kibana.query(SEARCHES[name]))
    if name in PLACEHOLDERS:
        placeholder, value = PLACEHOLDERS[name]
        assert index.ids(json.loads(query)) == set() and placeholder in query
        query = query.replace(placeholder, value)
    expected = {number for number, event in index.sent.items() if FOUND_BY_SEARCH[name](event)}
    assert expected and len(expected) < len(index.sent)
    assert index.ids(json.loads(query)) == expected


def test_columns_and_aggregations_use_available_fields(index):
    fields = index.opensearch.call("GET", "/logs-shoutback.log-*/_field_caps?fields=*")["fields"]
    for saved in SEARCHES.values():
        assert set(saved["attributes"]["columns"]) <= set(fields), saved["id"]
    for panel in PANELS.values():
        for each in json.loads(panel["attributes"]["visState"])["aggs"]:
            if "field" in each["params"]:
                [caps] = fields[each["params"]["field"]].values()
                assert caps["aggregatable"], each


def has_response(event):
    return is_request(event) and event.get("error.type") != "cancelled"


def has(field):
    return lambda event: field in event


# For each panel: its events, the aggregated field, and the fields of its buckets.
SHOWN_BY_PANEL = {
    "requests": (is_request, None, []),
    "failures": (lambda event: is_request(event) and status(event) >= 500, None, []),
    "duration-p95": (has_response, "event.duration", []),
    "outcome-over-time": (is_request, None, ["@timestamp", "event.outcome"]),
    "status-over-time": (is_request, None, ["@timestamp", "http.response.status_code"]),
    "duration-over-time": (has_response, "event.duration", ["@timestamp"]),
    "duration-by-source": (has("shoutback.source"), "event.duration", ["shoutback.source"]),
    "by-consumer": (is_request, None, ["client.user.id", "event.outcome"]),
    "by-route": (is_request, None, ["shoutback.route"]),
    "by-source": (has("shoutback.source"), None, ["shoutback.source"]),
    "by-error": (lambda event: is_request(event) and "error.type" in event, None, ["error.type", "client.user.id"]),
    "breaker": (has("shoutback.breaker.to"), None, ["shoutback.breaker.to", "service.node.name"]),
    "attempts": (has("shoutback.upstream.attempts"), None, ["shoutback.upstream.attempts"]),
    "by-level": (lambda event: True, None, ["log.level", "service.node.name"]),
}


def key(event, bucket):
    value = event.get(bucket["params"]["field"], kibana.MISSING if bucket["params"].get("missingBucket") else None)
    if bucket["type"] == "date_histogram":
        milliseconds = int(datetime.fromisoformat(value).timestamp() * 1000)
        return milliseconds - milliseconds % (kibana.INTERVAL * 1000)
    return value


@pytest.mark.parametrize("name", PANELS)
def test_a_panel_shows_the_events(index, name):
    metric, buckets, body = kibana.aggregations(PANELS[name])
    response = index.search(query=kibana.query(PANELS[name]), size=0, **({"aggs": body} if body else {}))
    shown = kibana.table({"doc_count": response["hits"]["total"]["value"]} | response.get("aggregations", {}), metric, buckets)
    selects, measured, fields = SHOWN_BY_PANEL[name]
    assert [bucket["params"]["field"] for bucket in buckets] == fields
    assert metric["params"].get("field") == measured
    expected = collections.defaultdict(list)
    for event in index.sent.values():
        keys = tuple(key(event, bucket) for bucket in buckets)
        if selects(event) and None not in keys:
            expected[keys].append(event)
    assert expected and set(shown) == set(expected)
    if metric["type"] == "count" and name != "status-over-time":
        # No event is missing because it lacks a field. A cancelled request has no status.
        assert sum(shown.values()) == sum(map(selects, index.sent.values()))
    for keys, events in expected.items():
        if metric["type"] == "count":
            assert shown[keys] == len(events), keys
        else:
            # Interpolated between neighbours; the method depends on the index.
            values = sorted(event[measured] for event in events)
            rank = 0.95 * (len(values) - 1)
            assert values[max(0, int(rank) - 1)] <= shown[keys] <= values[min(len(values) - 1, int(rank) + 2)], keys


def test_a_dashboard_has_every_panel_without_overlaps():
    [dashboard] = kibana.objects("dashboard").values()
    references = {each["name"]: each for each in dashboard["references"]}
    panels = json.loads(dashboard["attributes"]["panelsJSON"])
    shown = {references[f"{panel['panelIndex']}:{panel['panelRefName']}"]["id"].removeprefix("shoutback-") for panel in panels}
    assert set(PANELS) <= shown <= set(PANELS) | set(SEARCHES)
    occupied = set()
    for panel in panels:
        grid = panel["gridData"]
        cells = {(x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])}
        assert grid["x"] + grid["w"] <= 48 and not cells & occupied
        occupied |= cells


def test_everything_uses_the_same_data_view():
    [view] = kibana.objects("index-pattern").values()
    assert view["attributes"]["timeFieldName"] == "@timestamp"
    for saved in [*SEARCHES.values(), *PANELS.values()]:
        source = json.loads(saved["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])
        [reference] = saved["references"]
        assert reference == {"name": source["indexRefName"], "type": "index-pattern", "id": view["id"]}


# The rules that fire for the lines of each replica.
FIRING = {
    "ailing": set(RULES) - {"ShoutbackLogSilent"},
    "healthy": set(),
}


def firing(index, stream, now):
    """Returns the rules that would fire if there were only this stream."""
    result = set()
    for name, rule in RULES.items():
        [pattern] = kibana.indices(rule)
        assert fnmatch.fnmatch(stream, pattern)
        queries = kibana.rule_queries(rule, now).items()
        counts = {letter: index.search(stream, query=query, size=0)["hits"]["total"]["value"] for letter, query in queries}
        if kibana.fires(rule, counts):
            result.add(name)
    return result


@pytest.mark.parametrize("namespace", FIRING)
def test_a_rule_fires_for_its_events(index, namespace):
    stream = f"logs-shoutback.log-{namespace}"
    now = int(time.time() * 1000)
    assert firing(index, stream, now) == FIRING[namespace]
    assert firing(index, stream, now + 31 * MINUTE) == {"ShoutbackLogSilent"}


def test_a_rule_counts_exactly_its_events(index):
    counted = {
        "ShoutbackLogServerErrors": lambda event: is_request(event) and status(event) >= 500,
        "ShoutbackLogBreakerOpened": lambda event: event.get("shoutback.breaker.to") == "open",
        "ShoutbackLogKeyRefreshFailing": lambda event: event.get("event.action") == "key-refresh" and event["event.outcome"] == "failure",
        "ShoutbackLogPanic": lambda event: event.get("event.action") == "panic",
        "ShoutbackLogCutOff": lambda event: event.get("shoutback.stop.cut_off", 0) > 0,
        "ShoutbackLogRedacted": has_secret,
        "ShoutbackLogUnreadable": is_broken,
        "ShoutbackLogSilent": lambda event: True,
    }
    assert set(RULES) == set(counted)
    now = int(time.time() * 1000) + MINUTE
    for name, selects in counted.items():
        expected = {number for number, event in index.sent.items() if selects(event)}
        assert index.ids(kibana.rule_queries(RULES[name], now)["A"]) == expected, name
