"""Grafana's dashboards: rows of panels with automatic layout, and the links and variables of every dashboard."""

from links import discover
from names import ALERTS, DEPLOYMENTS
from panels import DATASOURCE

WIDTH = 24


def dashboard(name, title, description, rows, variables=(), by_replica=True):
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
        "annotations": {"list": [alerts(), deployments()]},
        "links": [
            link("Shoutback's dashboards", type="dashboards", tags=["shoutback"], icon="external link", targetBlank=False),
            link("Requests in Kibana", url=discover('event.action:"request"'), tooltip="Every request, one line each"),
            link("Failures in Kibana", url=discover('event.action:"request" and event.outcome:"failure"'), tooltip="4xx and 5xx"),
        ],
        "templating": {"list": [*VARIABLES, *([REPLICA] if by_replica else []), *variables, *BASE_URLS]},
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
        # Its URL includes the time range.
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


def deployments():
    """Marks the first appearance of a version."""
    return alerts() | {
        "name": "Deployments",
        "iconColor": "blue",
        "expr": DEPLOYMENTS,
        "titleFormat": "Deployment of {{version}}",
        "textFormat": "{{commit}}",
        "tagKeys": "version",
    }


def choice(name, label, description, query, many):
    """Returns a variable with the values of a label."""
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
    """Returns a hidden variable with a placeholder, which the chart replaces."""
    return {"name": name, "description": description, "type": "constant", "query": value, "hide": 2}


VARIABLES = [
    {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1},
    choice(
        "environment",
        "Environment",
        "One at a time, because an error budget over several is meaningless.",
        'label_values(shoutback_build_info{job="shoutback"}, environment)',
        many=False,
    ),
]
REPLICA = choice(
    "instance",
    "Replica",
    "All replicas in the selected time range.",
    'label_values(shoutback_build_info{job="shoutback",environment="$environment"}, instance)',
    many=True,
)
BASE_URLS = [
    constant("kibana", "URL of Kibana, without a trailing slash.", "KIBANA_BASE_URL"),
]
