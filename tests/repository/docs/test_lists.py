"""The documentation lists what exists, and nothing else. Variables and metrics are checked in src/config/tests.rs and
src/telemetry/metrics.rs, the chart's schema in tests/platform/chart, and alerts in tests/platform/observability/rules."""

import json
import re
import subprocess

import pytest
import yaml
from pages import FENCE, TOP, pages, suites

from harness.process import ENVIRONMENT, http_request
from harness.shoutback import Emulators, Shoutback, binary

PAGES = pages()


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with Shoutback(tmp_path_factory.mktemp("service") / "log") as service:
        yield service


def targets():
    return set(re.findall(r"^([a-z-]+):.*## ", (TOP / "Makefile").read_text(), re.M))


def test_each_make_target_is_documented():
    documented = {name for text in PAGES.values() for name in re.findall(r"`?\bmake ([a-z]+(?:-[a-z]+)*)\b", re.sub(r"\bmakes? (?:a|it|sure|the|up|no|for)\b", "", text))}
    code = {name for text in PAGES.values() for name in re.findall(r"(?:`|\$ )make ([a-z]+(?:-[a-z]+)*)", text)}
    assert code - targets() == set(), "documented targets that do not exist"
    assert targets() - documented == set(), "targets that are not documented"


def test_each_problem_is_in_the_table_on_the_page_and_in_the_document(service):
    source = "".join((TOP / name).read_text() for name in ("src/http/problem/kind.rs", "src/telemetry/metrics/labels.rs"))
    kinds = set(re.findall(r'"([a-z]+(?:-[a-z]+)+|unauthenticated|forbidden|overloaded)",$', source, re.M))
    table = {row[1]: row[0] for row in re.findall(r"^\| (\d{3}) \| `([a-z-]+)` \|", PAGES["docs/api.md"], re.M)}
    assert set(table) == kinds and len(table) > 10
    status, page = http_request("GET", f"http://{service.address}/docs")
    assert status == 200
    assert kinds <= set(re.findall(r'id="([a-z-]+)"', page))
    # With the default configuration, which excludes none.
    document = json.loads(subprocess.run([binary(), "openapi"], env=ENVIRONMENT, capture_output=True, text=True, check=True).stdout)
    responses = {code: response for code, response in document["paths"]["/v1"]["post"]["responses"].items() if code != "200"}
    named = {(code, name) for code, response in responses.items() for name in response["content"]["application/problem+json"]["examples"]}
    assert named == {(code, name) for name, code in table.items()} - {("404", "not-found"), ("405", "method-not-allowed")}


def routes():
    """Returns the paths of the public listener."""
    found = re.findall(r'(?:path: |file\()"([^"]+)"', (TOP / "src/http/routes.rs").read_text())
    assert "/v1" in found
    return found


def test_the_ingress_logs_each_path():
    values = (TOP / "gitops/platform/values/nginx-ingress.yaml").read_text()
    keys = re.findall(r'^ *"(.+)" \S+;$', values.partition("map $uri $edge_path {")[2].partition("}\n        map")[0], re.M)
    for route in routes():
        assert any(re.search(key[1:], route) if key.startswith("~") else key == route for key in keys), f"{route} would be logged as unmatched"


def test_each_path_is_documented_and_responds(service):
    for route in routes():
        assert f"`{route}`" in PAGES["docs/metrics.md"], route
        assert http_request("GET", f"http://{service.address}{route}")[0] in (200, 405), route
    document = json.loads(http_request("GET", f"http://{service.address}/openapi.json")[1])
    assert set(document["paths"]) <= set(routes())
    for path in ("/livez", "/readyz", "/metrics", "/version"):
        assert http_request("GET", f"http://{service.admin}{path}")[0] == 200
        assert f"`{path}`" in PAGES["docs/commands.md"], path


def test_the_documented_bucket_boundaries_are_those_of_each_histogram(service):
    section = PAGES["docs/metrics.md"].partition("## Bucket boundaries\n\n")[2].partition("\n\n")[0]
    documented = re.findall(r"`([\d.]+|[+]Inf)`", section)
    exported = http_request("GET", f"http://{service.admin}/metrics")[1]
    histograms = re.findall(r"^# TYPE (\w+) histogram$", exported, re.M)
    assert len(histograms) > 3
    for name in histograms:
        boundaries = re.findall(rf'^{name}_bucket\{{.*le="([^"]+)"', exported, re.M)
        assert boundaries[: len(documented)] == documented and set(boundaries) == set(documented), name


def test_the_documented_labels_are_those_of_each_metric(tmp_path):
    """As exported with every option: authentication, and a Valkey, which need not respond."""
    with Emulators(tmp_path / "emulators.log") as emulators:
        variables = emulators.authentication() | {"SHOUTCLOUD_URL": f"http://{emulators.shoutcloud}/V1/SHOUT", "VALKEY_URL": "redis://127.0.0.1:1"}
        with Shoutback(tmp_path / "log", **variables) as service:
            headers = {"authorization": f"Bearer {emulators.token()}", "content-type": "text/plain"}
            assert http_request("POST", service.url, b"hello", headers)[0] == 200
            exported = http_request("GET", f"http://{service.admin}/metrics")[1]
    labels = {}
    for name, found in re.findall(r"^(\w+)(?:\{(.*)\})? \S+$", exported, re.M):
        labels.setdefault(without_suffix(name), set()).update(set(re.findall(r'(\w+)="', found)) - {"le"})
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]*)\| [^|]+ \|$", PAGES["docs/metrics.md"], re.M)
    assert {name: set(re.findall(r"`(\w+)`", cell)) for name, cell in rows} == labels


def sections_of_metrics():
    """Yields the sections of docs/metrics.md that have a table: title, metrics and text."""
    for section in PAGES["docs/metrics.md"].split("\n## ")[1:]:
        if rows := re.findall(r"^\| `(\w+)` \|", section, re.M):
            yield section.partition("\n")[0], set(rows), section


def without_suffix(name):
    return re.sub(r"_(?:bucket|count|sum)$", "", name)


def alerts_of_metrics():
    """Returns the names of the alerts that use each metric, directly or through recording rules."""
    groups = [group for file in (TOP / "observability/prometheus/rules").glob("*.yaml") for group in yaml.safe_load(file.read_text())["groups"]]
    rules = [rule for group in groups for rule in group["rules"]]

    def metrics(expression, itself=""):
        for name, selector in re.findall(r"([a-zA-Z_:][\w:]*)((?:\{[^}]*\})?)", expression):
            objective = re.search(r'slo="([\w-]+)"', selector)
            recorded = [rule for rule in rules if rule.get("record") == name and (not objective or rule.get("labels", {}).get("slo") == objective[1])]
            # A rule may refer to its own last value.
            for rule in recorded if name != itself else []:
                yield from metrics(rule["expr"], name)
            if not recorded:
                yield without_suffix(name)

    found = {}
    for rule in rules:
        if "alert" in rule:
            for name in metrics(rule["expr"]):
                found.setdefault(name, set()).add(rule["alert"])
    return found


def test_the_sections_of_metrics_name_the_alerts_that_use_them():
    using = alerts_of_metrics()
    assert len(using) > 10
    for title, metrics, text in sections_of_metrics():
        alerts = re.search(r"^Alerts: (.*?)[.]\s", text, re.M | re.S)[1]
        assert set(re.findall(r"`(\w+)`", alerts)) == set().union(*(using.get(name, ()) for name in metrics)), title


def test_the_sections_of_metrics_name_the_dashboards_that_show_them():
    for title, metrics, text in sections_of_metrics():
        named = re.findall(r"`(\w+)`", re.search(r"^Alerts: .*?Dashboards: (.*?)[.]\n", text, re.M | re.S)[1])
        shown = [set(map(without_suffix, re.findall(r"\w+", (TOP / f"observability/grafana/dashboards/{name}.json").read_text()))) for name in named]
        assert metrics <= set().union(*shown), title
        assert all(metrics & names for names in shown), title


def test_the_queries_use_the_metrics_of_their_sections():
    for title, metrics, text in sections_of_metrics():
        queries = [block for language, block in FENCE.findall(text) if language == "promql"]
        assert queries, f"{title}: no query"
        for query in queries:
            used = {without_suffix(name) for name in re.findall(r"(\w+)\{", query)}
            assert used and used <= metrics, query


@pytest.mark.parametrize("name", ["docs/metrics.md", "docs/logging.md", "docs/tracing.md"])
def test_each_source_of_a_shout_is_documented(name):
    source = (TOP / "src/telemetry/metrics/labels.rs").read_text().partition("impl LabelValue for ShoutSource")[2].partition("\nimpl ")[0]
    sources = set(re.findall(r'=> "(\w+)"', source))
    assert len(sources) > 6
    [row] = [row for row in re.split(r"\n(?=[-|\n])", PAGES[name]) if row.startswith(("- `source`", "| `shoutback.source`"))]
    assert sources <= set(re.findall(r"`(\w+)`", row))


def test_the_attributes_of_spans_are_documented():
    files = ["http/middleware/server_span.rs", "shoutcloud.rs", "shoutcloud/attempt_span.rs", "auth/key_source/endpoint.rs", "valkey/span.rs", "telemetry/trace/span.rs"]
    source = "".join((TOP / "src" / name).read_text() for name in files)
    set_somewhere = set(re.findall(r'"((?:client|db|error|http|network|server|shoutback|url|user_agent)[.][a-z_.]+)"', source))
    section = PAGES["docs/tracing.md"].partition("\n## Attributes\n")[2].partition("\n## ")[0]
    documented = {name for row in re.findall(r"^\| (`.*?) \|", section, re.M) for name in re.findall(r"`([^`]+)`", row)}
    assert documented == set_somewhere and len(documented) > 20


def test_the_errors_of_the_ingress_have_the_configured_types():
    configured = (TOP / "gitops/platform/values/nginx-ingress.yaml").read_text()
    types = dict(re.findall(r'^ +(\d{3}) "(/docs#[a-z-]+)";$', configured, re.M))
    with_wait = set(re.search(r'"~\^1\(([\d|]+)\)\$" "1";', configured)[1].split("|"))
    section = PAGES["docs/ingress.md"].partition("\n## Errors\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d{3}(?:, \d{3})*) \| `([^`]+)` \| (.*) \|$", section, re.M)
    documented = {status: kind for statuses, kind, _ in rows for status in statuses.split(", ")}
    assert documented == {status: types.get(status, "about:blank") for status in documented}
    assert types.keys() <= documented.keys()
    # That of 429 is with the rate limit.
    assert {status for status, _, cause in rows if "`retry-after: 1`" in cause} == (with_wait & documented.keys()) - {"429"}


def test_each_suite_has_a_row():
    """In the section of its tier, with its requirements; the online ones are with those of test-all."""
    quick, full = PAGES["docs/suites.md"].split("## `make test-all`")
    for tiers, text in ((["quick"], quick), (["full", "online"], full)):
        rows = dict(re.findall(r"^\| `([a-z0-9-]+)` \| (.*)$", text, re.M))
        assert rows.keys() == {name for name, suite in suites().items() if suite["tier"] in tiers}
        for name, row in rows.items():
            for need in suites()[name].get("needs", []):
                assert need in row, f"{name} needs {need}"


def test_the_readmes_table_names_existing_paths():
    section = PAGES["README.md"].partition("## What the demo lacked")[2].partition("\n## ")[0]
    rows = [row.split("|")[1:3] for row in section.splitlines() if row.startswith("| ") and not row.startswith("| item")]
    assert len(rows) > 10
    for item, where in rows:
        paths = re.findall(r"`([^`]+)`", where)
        # `a/b`, `c` is a/b and a/c.
        folder = paths[0].rpartition("/")[0] if paths else ""
        assert all((TOP / path).exists() or (TOP / folder / path).exists() for path in paths), f"{item}: {where}"


def test_the_recipes_name_existing_files():
    """Words in upper case are placeholders."""
    section = PAGES["docs/development.md"].partition("\n## Recipes\n")[2]
    recipes = re.findall(r"^### Add .*$", section, re.M)
    assert len(recipes) > 8
    paths = [path for path in re.findall(r"`([\w./-]+/[\w./-]*|[\w-]+\.(?:md|rs|py|yaml))`", section) if not path.startswith("/")]
    assert len(paths) > 40
    assert [path for path in paths if not list(TOP.glob(re.sub(r"\b[A-Z]{4,}\b", "*", path)))] == []


@pytest.mark.parametrize("page", ["SECURITY.md", "docs/release.md"])
def test_signatures_are_for_those_who_may_pull(page):
    """The registry is private; tests/platform/pipeline/test_evidence.py verifies with a login and without one."""
    assert re.search(r"\b(permission\s+to|who\s+may)\s+pull\b", (TOP / page).read_text())
