"""The kinds of Grafana's panels that are used here."""

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def panel(kind, title, description, queries, unit, width, height, options, custom=None, thresholds=(), links=(), **extra):
    """`queries` are pairs of expression and legend; `thresholds` pairs of lowest value and colour, green below."""
    steps = [{"value": value, "color": colour} for value, colour in thresholds]
    if not steps or steps[0]["value"] is not None:
        steps.insert(0, {"value": None, "color": "green"})
    defaults = {
        "unit": unit,
        "color": {"mode": "thresholds" if kind in ("stat", "state-timeline", "table") else "palette-classic-by-name"},
        "thresholds": {"mode": "absolute", "steps": steps},
        "custom": custom or {},
        "links": [{"title": name, "url": url, "targetBlank": True} for name, url in links],
    }
    bounds = {key: extra.pop(key, None) for key in ("min", "max", "decimals", "noValue", "mappings")}
    defaults |= {key: value for key, value in bounds.items() if value is not None}
    targets = [
        {"refId": chr(ord("A") + number), "datasource": DATASOURCE, "expr": expression, "legendFormat": legend, **QUERY[kind]}
        for number, (expression, legend) in enumerate(queries)
    ]
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {"defaults": defaults, "overrides": extra.pop("overrides", [])},
        "options": options,
        "targets": targets,
        **extra,
    }


OVER_TIME = {"range": True, "instant": False, "format": "time_series"}
QUERY = {
    "stat": {"range": False, "instant": True, "format": "time_series"},
    "table": {"range": False, "instant": True, "format": "table"},
    "timeseries": OVER_TIME,
    "state-timeline": OVER_TIME,
    "heatmap": OVER_TIME | {"format": "heatmap"},
}


def stat(title, description, expression, unit, thresholds=(), **extra):
    options = {
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "percentChangeColorMode": "standard",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showPercentChange": False,
        "textMode": "value",
        "wideLayout": True,
    }
    extra = {"width": 4, "height": 4, "noValue": "no requests"} | extra
    return panel("stat", title, description, [(expression, "")], unit, options=options, thresholds=thresholds, **extra)


def series(title, description, queries, unit, colours=None, stacked=False, thresholds=(), **extra):
    """`colours` are those of series by their legend; others get one by their name."""
    custom = {
        "drawStyle": "line",
        "fillOpacity": 30 if stacked else 0,
        "lineWidth": 1,
        "showPoints": "auto",
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if thresholds else "off"},
    }
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    overrides = [
        {
            "matcher": {"id": "byName", "options": name},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
        }
        for name, colour in (colours or {}).items()
    ]
    extra = {"width": 12, "height": 8, "min": 0, "overrides": overrides} | extra
    return panel("timeseries", title, description, queries, unit, options=options, custom=custom, thresholds=thresholds, **extra)


def heatmap(title, description, expression, **extra):
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Oranges", "exponent": 0.5, "fill": "dark-orange", "reverse": False, "steps": 64},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        # Empty buckets are not drawn.
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "tooltip": {"mode": "single", "yHistogram": True},
        "yAxis": {"axisPlacement": "left", "unit": "s", "reverse": False},
    }
    extra = {"width": 12, "height": 8} | extra
    return panel("heatmap", title, description, [(expression, "{{le}}")], "short", options=options, **extra)


def timeline(title, description, expression, legend, values, **extra):
    """`values` maps numbers to pairs of text and colour."""
    options = {
        "alignValue": "left",
        "mergeValues": True,
        "rowHeight": 0.9,
        "showValue": "auto",
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    mapping = {str(value): {"text": text, "color": colour} for value, (text, colour) in values.items()}
    extra = {"width": 12, "height": 8, "mappings": [{"type": "value", "options": mapping}]} | extra
    custom = {"fillOpacity": 70, "lineWidth": 0}
    return panel("state-timeline", title, description, [(expression, legend)], "none", options=options, custom=custom, **extra)


def table(title, description, by, columns, links=(), **extra):
    """A row for each value of the labels `by`; `columns` are (name, expression, unit, thresholds); names of labels link."""
    queries = [(expression, "") for _, expression, _, _ in columns]
    letters = [chr(ord("A") + number) for number in range(len(columns))]
    values = ["Value"] if len(columns) == 1 else [f"Value #{letter}" for letter in letters]
    names = dict(zip(values, (name for name, *_ in columns)))
    overrides = [
        {
            "matcher": {"id": "byName", "options": name},
            "properties": [
                {"id": "unit", "value": unit},
                {"id": "thresholds", "value": {"mode": "absolute", "steps": [{"value": v, "color": c} for v, c in thresholds]}},
                {"id": "custom.cellOptions", "value": {"type": "color-text" if thresholds else "auto"}},
            ],
        }
        for name, _, unit, thresholds in columns
    ]
    if links:
        linked = [{"title": name, "url": url, "targetBlank": True} for name, url in links]
        overrides.append({"matcher": {"id": "byName", "options": by[0]}, "properties": [{"id": "links", "value": linked}]})
    transformations = [
        {"id": "merge", "options": {}},
        {
            "id": "organize",
            "options": {
                "excludeByName": {"Time": True},
                "indexByName": {name: place for place, name in enumerate([*by, *values])},
                "renameByName": names,
            },
        },
    ]
    custom = {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False}
    options = {"cellHeight": "sm", "frameIndex": 0, "showHeader": True}
    extra = {"width": 24, "height": 7, "overrides": overrides, "transformations": transformations} | extra
    return panel("table", title, description, queries, "short", options=options, custom=custom, **extra)


def text(title, content, width=24, height=6):
    return {
        "type": "text",
        "title": title,
        "description": "",
        "gridPos": {"w": width, "h": height},
        "options": {"mode": "markdown", "content": content},
    }
