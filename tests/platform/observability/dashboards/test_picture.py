"""The picture of the dashboard in README; PICTURES=1 redraws it."""

import os
import re
from html import escape

from dashboards import DASHBOARDS, OBSERVABILITY, filled_in, panels
from picture import draw
from test_queries import VALUES

PICTURE = OBSERVABILITY.parent / "docs/images/dashboard.svg"
DASHBOARD = DASHBOARDS["service"]
#: The first row that is not drawn: the panels from here on are for diagnosis.
UNTIL = "Shoutback or SHOUTCLOUD"


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

    assert titles(PICTURE.read_text()) == titles(drawn)
    assert "no data" not in drawn and escape(DASHBOARD["title"]) in drawn
    assert drawn.count("<polyline") >= 10
