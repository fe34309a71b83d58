"""Validates the dashboards by Grafana's types; Grafana itself is not run."""

import itertools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from dashboards import BUILT_IN, DASHBOARDS, DIRECTORY, OBSERVABILITY, SOURCE, links, panels, used_variables, variables
from grafana_foundation_sdk.models import units

SCHEMA = Path(__file__).parent / "schema"
LOGGING = Path(__file__).parents[4] / "docs/logging.md"
UNITS = {value for name, value in vars(units).items() if not name.startswith("_") and isinstance(value, str)}
LOGGED = set(re.findall(r"(?m)^\| `(\w+(?:[.]\w+)+)` \|", LOGGING.read_text()))
KIBANA = [json.loads(line) for line in (OBSERVABILITY / "kibana/saved-objects.ndjson").read_text().splitlines()]
DATA_VIEWS = {one["id"] for one in KIBANA if one.get("type") == "index-pattern"}
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

each = pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)


def test_the_files_are_up_to_date(tmp_path):
    subprocess.run([sys.executable, SOURCE, tmp_path], check=True)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_text() for path in DIRECTORY.iterdir()}, "run `make dashboards`"


def test_they_conform_to_grafanas_types(tmp_path):
    """Each member exists in Grafana's type of this panel, and has its type."""
    for name in ("model.ts", "tsconfig.json"):
        shutil.copy(SCHEMA / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(Path(shutil.which("tsc")).parents[1] / "node_modules")
    for name, dashboard in DASHBOARDS.items():
        declared = f"export const dashboard: Checked = {json.dumps(dashboard, indent=1)};\n"
        (tmp_path / f"{name}.ts").write_text(f"import type {{ Checked }} from './model';\n{declared}")
    checked = subprocess.run(["tsc", "-p", tmp_path], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


@each
def test_panels_do_not_overlap(dashboard):
    grids = [panel["gridPos"] for panel in dashboard["panels"]]
    for grid in grids:
        assert grid["x"] >= 0 and grid["w"] > 0 and grid["x"] + grid["w"] <= 24, grid
    for one, other in itertools.combinations(grids, 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)


def test_names_are_unique():
    assert len({dashboard["uid"] for dashboard in DASHBOARDS.values()}) == len(DASHBOARDS)
    for dashboard in DASHBOARDS.values():
        for names in (
            [panel["id"] for panel in dashboard["panels"]],
            [panel["title"] for panel in dashboard["panels"]],
            [variable["name"] for variable in dashboard["templating"]["list"]],
        ):
            assert len(set(names)) == len(names), names
        for panel in panels(dashboard):
            letters = [query["refId"] for query in panel.get("targets", [])]
            assert len(set(letters)) == len(letters)


@each
def test_every_panel_describes_what_is_normal(dashboard):
    for panel in panels(dashboard):
        if panel["type"] != "text":
            assert "Normal:" in panel["description"] or panel["type"] == "table", panel["title"]
            assert len(panel["description"]) > 40, panel["title"]


@each
def test_the_data_source_is_the_variable(dashboard):
    assert variables(dashboard)["datasource"]["query"] == "prometheus"
    asking = [*panels(dashboard), *dashboard["annotations"]["list"]]
    asking += [variable for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    asking += [query for panel in panels(dashboard) for query in panel.get("targets", [])]
    for one in asking:
        if one.get("type") != "text":
            assert one["datasource"] == DATASOURCE, one


@each
def test_variables_exist_and_are_used(dashboard):
    defined = set(variables(dashboard))
    used = used_variables(json.dumps(dashboard))
    assert used <= defined | BUILT_IN
    assert defined <= used
    # A query must not refer to variables of another dashboard, nor to those for links.
    for panel in panels(dashboard):
        for query in panel.get("targets", []):
            # What is recorded, and what others measure, is not by replica.
            whole = re.search(r"ALERTS|job_environment_slo:|probe_|nginx_", query["expr"])
            assert {"environment", "instance"} - ({"instance"} if whole else set()) <= used_variables(query["expr"]), query["expr"]


@each
def test_units_are_grafanas(dashboard):
    for panel in panels(dashboard):
        if panel["type"] != "text":
            defaults, overrides = panel["fieldConfig"]["defaults"], panel["fieldConfig"]["overrides"]
            overridden = [property["value"] for one in overrides for property in one["properties"] if property["id"] == "unit"]
            for unit in [defaults["unit"], *overridden]:
                assert unit in UNITS, (panel["title"], unit)
            for steps in [defaults["thresholds"]["steps"]]:
                values = [step["value"] for step in steps]
                assert values[0] is None and values[1:] == sorted(values[1:]), panel["title"]


def addresses():
    for name, dashboard in DASHBOARDS.items():
        for link in dashboard["links"]:
            if link["type"] == "link":
                yield f"{name}: {link['title']}", link["url"]
        for panel in panels(dashboard):
            for link in links(panel):
                yield f"{name}: {panel['title']}: {link['title']}", link["url"]
            for title, url in re.findall(r"\[([^]]+)\]\((\S+)\)[:;,.\s]", panel["options"].get("content", "")):
                yield f"{name}: {panel['title']}: {title}", url


@pytest.mark.parametrize("url", [pytest.param(url, id=name) for name, url in addresses()])
def test_links_are_to_kibana_or_traces(url):
    where, _, rest = url.partition("/")
    assert where in ("${kibana}", "${traces}")
    # For Grafana a space or a quotation mark ends the URL.
    assert not re.search(r'[\s"<>]', url)
    assert "${__from" in url and "${__to" in url or where == "${traces}"
    if where == "${kibana}":
        assert balanced(unquote(rest)), url
        view, = re.findall(r"dataViewId:([\w-]+)", rest)
        assert view in DATA_VIEWS
        query, = re.findall(r"query:'([^']*)'", unquote(rest))
        assert balanced(query) and query.count('"') % 2 == 0, query
        fields = re.findall(r"([\w.]+):", query)
        assert fields and set(fields) <= LOGGED, query


def balanced(text):
    """Returns whether the brackets outside of quoted texts are balanced."""
    depth = 0
    for character in re.sub(r"'[^']*'|\"[^\"]*\"|\$\{[^}]*\}", "", text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0


def test_there_are_links():
    assert len(list(addresses())) > 20
