"""Grafana's dashboards: rows of panels that lay themselves out, and what is around them on every page."""

from links import discover, traces
from names import ALERTS
from panels import DATASOURCE

WIDTH = 24


def dashboard(name, title, description, rows, variables=()):
    """`rows` maps titles to panels, which flow from left to right."""
    panels, y = [], 0
    for heading, members in rows.items():
        panels.append({"type": "row", "title": heading, "collapsed": False, "gridPos": at(0, y, WIDTH, 1), "panels": []})
        x, y, tallest = 0, y + 1, 0
        for member in members:
            width, height = member["gridPos"]["w"], member["gridPos"]["h"]
            if x + width > WIDTH:
                x, y, tallest = 0, y + tallest, 0
            panels.append(member | {"gridPos": at(x, y, width, height)})
            x, tallest = x + width, max(tallest, height)
        y += tallest
    return {
        "uid": f"shoutback-{name}",
        "title": f"Shoutback: {title}",
        "description": description,
        "tags": ["shoutback"],
        "schemaVersion": 41,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": [alerts()]},
        "links": [
            link("Shoutback's dashboards", type="dashboards", tags=["shoutback"], icon="external link", targetBlank=False),
            link("Requests in Kibana", url=discover('event.action:"request"'), tooltip="Every request, one line each"),
            link("Failures in Kibana", url=discover('event.action:"request" and event.outcome:"failure"'), tooltip="4xx and 5xx"),
            link("Traces", url=traces(), tooltip="Traces of this time"),
        ],
        "templating": {"list": [*VARIABLES, *variables, *PLACES]},
        "panels": [{"id": number, **member} for number, member in enumerate(panels, 1)],
    }


def at(x, y, width, height):
    return {"x": x, "y": y, "w": width, "h": height}


def link(title, **parts):
    defaults = {
        "type": "link",
        "icon": "doc",
        "tags": [],
        "tooltip": "",
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": True,
    }
    if parts.get("url"):
        # Its address says where these go.
        defaults |= {"asDropdown": False, "includeVars": False, "keepTime": False}
    return defaults | {"title": title} | parts


def alerts():
    return {
        "name": "Alerts",
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": "red",
        "expr": ALERTS,
        "step": "30s",
        "titleFormat": "{{alertname}}",
        "textFormat": "{{severity}}",
        "tagKeys": "severity",
    }


def choice(name, label, description, query, many):
    """A variable whose values are those of a label."""
    everything = {"includeAll": True, "allValue": ".*", "current": {"text": ["All"], "value": ["$__all"]}} if many else {}
    return {
        "name": name,
        "label": label,
        "description": description,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": many,
        **everything,
    }


def typed(name, label, description):
    return {"name": name, "label": label, "description": description, "type": "textbox", "query": ""}


def constant(name, description, value):
    """Hidden: whoever deploys puts in the value."""
    return {"name": name, "description": description, "type": "constant", "query": value, "hide": 2}


VARIABLES = [
    {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1},
    choice(
        "environment",
        "Environment",
        "One at a time: an error budget over several means nothing.",
        'label_values(shoutback_build_info{job="shoutback"}, environment)',
        many=False,
    ),
    choice(
        "instance",
        "Replica",
        "Those that ran in the time shown.",
        'label_values(shoutback_build_info{job="shoutback",environment="$environment"}, instance)',
        many=True,
    ),
]
PLACES = [
    constant("kibana", "Where Kibana is, without a slash at the end.", "KIBANA_BASE_URL"),
    constant("traces", "Where the trace back end is, without a slash at the end.", "TRACES_BASE_URL"),
]
