"""The Elasticsearch queries of Kibana's saved searches, panels and rules: no package registry has Kibana."""

import json
import re
from pathlib import Path

SHIPPED = Path("observability/kibana")
EVERYTHING = {"range": {"@timestamp": {"gte": "now-1d", "lte": "now+1d"}}}


def objects(kind):
    lines = (SHIPPED / "saved-objects.ndjson").read_text().splitlines()
    return {each["id"].removeprefix("shoutback-"): each for each in map(json.loads, lines) if each["type"] == kind}


def rules():
    return {rule["name"]: rule for rule in (json.loads(path.read_text()) for path in sorted((SHIPPED / "rules").iterdir()))}


def query(saved):
    """Returns the query of a search or a panel, with the selected time range."""
    source = json.loads(saved["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])
    assert source["query"]["language"] == "lucene" and source["filter"] == []
    text = source["query"]["query"]
    return {"bool": {"filter": [{"query_string": {"query": text, "analyze_wildcard": True}}, EVERYTHING]}}


INTERVAL = 30
MISSING = "__missing__"


def aggregations(panel):
    """Returns the aggregations of a panel: nested buckets, with the metric innermost."""
    state = json.loads(panel["attributes"]["visState"])
    [metric] = [each for each in state["aggs"] if each["schema"] == "metric"]
    buckets = [each for each in state["aggs"] if each["schema"] != "metric"]
    body = {} if metric["type"] == "count" else {metric["id"]: {metric["type"]: {
        "field": metric["params"]["field"], "percents": metric["params"]["percents"]}}}
    for bucket in reversed(buckets):
        params = bucket["params"]
        if bucket["type"] == "date_histogram":
            # `auto` depends on the selected time range.
            assert params["interval"] == "auto"
            aggregation = {"date_histogram": {"field": params["field"], "fixed_interval": f"{INTERVAL}s", "min_doc_count": 1}}
        else:
            assert bucket["type"] == "terms"
            ordered_by = {"_key": "_key", metric["id"]: "_count"}[params["orderBy"]]
            aggregation = {"terms": {"field": params["field"], "size": params["size"], "order": {ordered_by: params["order"]}}}
            if params["missingBucket"]:
                aggregation["terms"]["missing"] = MISSING
        body = {bucket["id"]: aggregation | ({"aggs": body} if body else {})}
    return metric, buckets, body


def table(result, metric, buckets):
    """Returns the rows of the result: keys and value."""
    if not buckets:
        if metric["type"] == "count":
            return {(): result["doc_count"]}
        [value] = result[metric["id"]]["values"].values()
        return {(): value}
    rows = {}
    for each in result[buckets[0]["id"]]["buckets"]:
        for key, value in table(each, metric, buckets[1:]).items():
            rows[each["key"], *key] = value
    return rows


def indices(rule):
    """Returns the patterns of the indices of a rule; one of the newer type names a data view."""
    if rule["rule_type_id"] == ".es-query":
        return rule["params"]["index"]
    view = objects("index-pattern")[rule["params"]["searchConfiguration"]["index"].removeprefix("shoutback-")]
    return [view["attributes"]["title"]]


def rule_queries(rule, now):
    """Returns the queries that a rule counts, by name, in the window that ends at `now`, in milliseconds. A is that of the bad documents."""
    params = rule["params"]
    if rule["rule_type_id"] == ".es-query":
        size, unit, field = params["timeWindowSize"], params["timeWindowUnit"], params["timeField"]
        queries = {"A": json.loads(params["esQuery"])["query"]}
    else:
        size, unit, field = params["criteria"][0]["timeSize"], params["criteria"][0]["timeUnit"], "@timestamp"
        every = params["searchConfiguration"]["query"]["query"]
        metrics = [metric for criterion in params["criteria"] for metric in criterion["metrics"]]
        queries = {metric["name"]: {"query_string": {"query": f"({lucene(every)}) AND ({lucene(metric.get('filter', '*'))})"}} for metric in metrics}
    window = size * {"s": 1, "m": 60, "h": 3600}[unit] * 1000
    times = {"range": {field: {"gte": now - window, "lte": now, "format": "epoch_millis"}}}
    return {name: {"bool": {"filter": [query, times]}} for name, query in queries.items()}


def lucene(kql):
    """Translates the part of Kibana's query language that the rules use: `field: value` and `field >= number`."""
    return re.sub(r" >= ", ":>=", kql.replace(": ", ":"))


def fires(rule, counts):
    """Returns whether a rule fires, given the number of documents of each query."""
    params = rule["params"]
    if rule["rule_type_id"] == ".es-query":
        conditions = [(counts["A"], params["thresholdComparator"], params["threshold"])]
    else:
        values = {"A / B": counts["A"] / max(counts["B"], 1), "A": counts["A"]}
        conditions = [(values[one.get("equation", "A")], one["comparator"], one["threshold"]) for one in params["criteria"]]
    return all({">": value > threshold, "<": value < threshold}[comparator] for value, comparator, [threshold] in conditions)
