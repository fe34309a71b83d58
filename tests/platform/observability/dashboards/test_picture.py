"""The picture of the dashboard in README; PICTURES=1 redraws it."""

import os
import re
from html import escape

import pytest
from dashboards import DASHBOARDS, OBSERVABILITY, filled_in, panels
from picture import COLOURS, draw
from test_queries import VALUES

PICTURE = OBSERVABILITY.parent / "docs/images/dashboard.svg"
DASHBOARD = DASHBOARDS["service"]
#: The first row that is not drawn: the panels from here on are for diagnosis.
UNTIL = "Shoutback or SHOUTCLOUD"
REDRAW = "`PICTURES=1 make test-all SUITES=dashboards` redraws docs/images/dashboard.svg"


def test_the_picture_shows_the_shipped_dashboard(recorded):
    series = {
        (panel["title"], query["refId"]): recorded.over_time(filled_in(query["expr"], VALUES))
        for panel in panels(DASHBOARD)
        for query in panel.get("targets", [])
    }
    drawn = draw(DASHBOARD, UNTIL, series)
    if "PICTURES" in os.environ:
        PICTURE.write_text(drawn)

    def titles(svg):
        return re.findall(r'class="(?:row|title)">([^<]*)<', svg)

    assert titles(PICTURE.read_text()) == titles(drawn), REDRAW
    assert "no data" not in drawn, "add load or a fault to traffic.py that gives each drawn panel data"
    assert escape(DASHBOARD["title"]) in drawn
    assert drawn.count("<polyline") >= 10


def drawn_panels(svg):
    """Returns the SVG of each panel by its title."""
    parts = re.split(r'<text [^>]*class="(?:title|row)">([^<]*)</text>', svg)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_series_have_the_colours_of_the_dashboard():
    drawn = drawn_panels(PICTURE.read_text())
    compared = {}
    for panel in panels(DASHBOARD):
        if panel["title"] not in drawn or panel["type"] != "timeseries":
            continue
        legend = {name: colour for colour, name in re.findall(r'<rect [^>]*fill="(#\w+)"/>\n<text [^>]*class="small">([^<]*)</text>', drawn[panel["title"]])}
        for override in panel["fieldConfig"]["overrides"]:
            name = override["matcher"]["options"]
            for colour in [found["value"]["fixedColor"] for found in override["properties"] if found["id"] == "color"]:
                if name in legend:
                    assert legend[name] == COLOURS[colour], f"{panel['title']}: {name}; {REDRAW}"
                    compared[name] = colour
    assert {"served": "green", "rejected": "blue", "failed": "red", "cancelled": "yellow"}.items() <= compared.items()


def test_numbers_have_the_colours_of_the_dashboards_thresholds():
    drawn = drawn_panels(PICTURE.read_text())
    stats = [panel for panel in panels(DASHBOARD) if panel["type"] == "stat" and panel["title"] in drawn]
    assert len(stats) > 5
    for panel in stats:
        [colour] = re.findall(r'class="stat" style="fill:(#\w+)"', drawn[panel["title"]])
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert colour in [COLOURS[step["color"]] for step in steps], f"{panel['title']}; {REDRAW}"


@pytest.mark.parametrize(("value", "colour"), [(1.0, "green"), (0.999, "green"), (0.998, "red")])
def test_a_number_has_the_colour_of_the_highest_threshold_that_it_reaches(value, colour):
    [served] = [panel for panel in panels(DASHBOARD) if panel["title"] == "Served"]
    svg = draw({"title": "T", "panels": [served]}, None, {("Served", "A"): [({}, [(0, value)])]})
    assert f'style="fill:{COLOURS[colour]}"' in svg
