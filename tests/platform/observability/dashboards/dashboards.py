"""The shipped dashboards, and their queries as Grafana would send them."""

import json
import re
from pathlib import Path

OBSERVABILITY = Path(__file__).parents[4] / "observability"
DIRECTORY = OBSERVABILITY / "grafana/dashboards"
SOURCE = OBSERVABILITY / "grafana/source"

#: By file name.
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted(DIRECTORY.glob("*.json"))}

# Prefixes of the service's metrics; the others are from Prometheus.
METRIC = re.compile(r"\b((?:http|shoutback|process|tokio)_\w+)\{")

# Grafana's built-in variables.
BUILT_IN = {"__all", "__from", "__to", "__field", "__data", "__range", "__rate_interval", "__interval", "__value"}


def panels(dashboard):
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries():
    """Yields every query of every panel, as (name for the report, panel, query)."""
    for name, dashboard in DASHBOARDS.items():
        for panel in panels(dashboard):
            for query in panel.get("targets", []):
                yield f"{name}: {panel['title']}: {query['refId']}", panel, query


def variables(dashboard):
    return {variable["name"]: variable for variable in dashboard["templating"]["list"]}


def links(panel):
    """Returns the data links of a panel."""
    if "fieldConfig" not in panel:
        return []
    overridden = [
        link
        for override in panel["fieldConfig"]["overrides"]
        for property in override["properties"]
        if property["id"] == "links"
        for link in property["value"]
    ]
    return [*panel["fieldConfig"]["defaults"]["links"], *overridden]


def used_variables(text):
    """Returns the names of the variables in a text, including Grafana's built-in ones."""
    return set(re.findall(r"\$\{?(\w+)", text))


def metrics(expression):
    """Returns the names of the service's metrics in an expression, without the suffixes of a histogram's series."""
    return {re.sub(r"_seconds_(bucket|sum|count)$", "_seconds", name) for name in METRIC.findall(expression)}


def expressions():
    """Returns every expression of a dashboard."""
    for _, _, query in queries():
        yield query["expr"]
    for dashboard in DASHBOARDS.values():
        for annotation in dashboard["annotations"]["list"]:
            yield annotation["expr"]
        for variable in variables(dashboard).values():
            if variable["type"] == "query":
                yield variable["query"]["query"]


def filled_in(expression, values):
    """Replaces Grafana's variables. An unknown one stays, which is a syntax error in PromQL."""
    return re.sub(r"\$\{?(\w+)\}?", lambda match: values.get(match[1], match[0]), expression)
