"""Each alert has a runbook, and each runbook an alert, with the sections that a person needs at night. Its queries, log fields, panels,
variables and links exist. The suite `static` parses the queries, and `cluster` checks the permissions of the commands."""

import functools
import re

import pytest
import yaml
from pages import FENCE, TOP

from harness.runbooks import DIRECTORY, INCIDENTS, INDEX, commands, queries, runbooks, sections

RUNBOOKS = runbooks()
OTHERS = {"incidents": INCIDENTS.read_text(), "README": INDEX.read_text()}
METRICS = (TOP / "docs/metrics.md").read_text()
RULES = sorted((TOP / "observability/prometheus/rules").glob("*.yaml"))
PLATFORM = TOP / "gitops/platform/templates/monitoring.yaml"

SECTIONS = ["", "Meaning", "Impact", "Diagnosis", "Mitigation", "Resolved when", "Escalation"]


@functools.cache
def rules():
    return [rule for path in RULES for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def alerts():
    """Returns the names of the shipped alerts, and of those of the platform, whose rules are a template."""
    return {rule["alert"] for rule in rules() if "alert" in rule} | set(re.findall(r'"alert" "(\w+)"', PLATFORM.read_text()))


def test_each_alert_has_a_runbook_and_each_runbook_an_alert():
    assert RUNBOOKS.keys() == alerts() and len(RUNBOOKS) > 30


def test_each_runbook_url_leads_to_a_runbook():
    """Those of CloudWatch's alarms and of the template with their placeholders."""
    files = [*RULES, *(TOP / "observability/cloudwatch/alarms").glob("*.yaml"), *(TOP / "observability/prometheus/tests").glob("*.yaml")]
    urls = [url for file in files for url in re.findall(r"(?:RUNBOOK_BASE_URL|\$\{runbook_base_url\})/(\S+)", file.read_text())]
    urls += [f"runbooks/{name}.md" for name in re.findall(r'"alert" "(\w+)"', PLATFORM.read_text())]
    assert "runbook_url: {{ $.Values.docs.url }}/runbooks/{{ .alert }}.md\n" in PLATFORM.read_text()
    assert len(urls) > 60
    assert [url for url in urls if not (TOP / "docs" / url).is_file()] == []


@pytest.mark.parametrize("name", RUNBOOKS)
def test_it_has_each_section_in_order(name):
    text = RUNBOOKS[name]
    assert text.startswith(f"# {name}\n\n") and re.match(r"Page|Ticket", text.splitlines()[2])
    found = sections(text)
    assert list(found) == SECTIONS and all(part.strip() for part in found.values())
    assert "**Do not** " in found["Mitigation"], "add what on-call must not do, beginning with `**Do not** `"
    assert "](../incidents.md#escalation)" in found["Escalation"]


@pytest.mark.parametrize("name", RUNBOOKS)
def test_it_has_the_severities_of_its_alert(name):
    severities = {rule["labels"]["severity"] for rule in rules() if rule.get("alert") == name} or {"ticket"}
    introduction = sections(RUNBOOKS[name])[""].lower()
    # The SLO that pages besides a ticket is another alert.
    assert set(re.findall(r"\b(page|ticket)\b(?!s if many)", introduction)) == severities


@pytest.mark.parametrize("name", RUNBOOKS)
def test_it_has_a_query_and_the_panels_of_the_alerts_dashboard(name):
    assert FENCE.search(sections(RUNBOOKS[name])["Diagnosis"])
    named = re.findall(r"`(shoutback-\w+)`((?:[:,] \*[^*]+\*)*)", sections(RUNBOOKS[name])[""].replace("\n", " "))
    for uid, titles in named:
        panels = set(re.findall(r'"title": "([^"]+)"', (TOP / f"observability/grafana/dashboards/{uid.removeprefix('shoutback-')}.json").read_text()))
        assert set(re.findall(r"\*([^*]+)\*", titles)) <= panels, uid
    linked = {rule["annotations"]["dashboard_url"].partition("/d/")[2].partition("?")[0] for rule in rules() if rule.get("alert") == name}
    assert linked <= {uid for uid, _ in named}


def test_the_index_lists_each_runbook():
    linked = re.findall(r"\]\((\w+)\.md\)", OTHERS["README"])
    assert sorted(linked) == sorted(RUNBOOKS)


@functools.cache
def documented():
    """Returns the service's metrics, each with the section of docs/metrics.md that describes its labels."""
    found = {}
    for section in METRICS.split("\n## ")[1:]:
        found |= dict.fromkeys(re.findall(r"^\| `(\w+)` \|", section, re.M), section)
    return found


def selectors(query):
    """Returns pairs of metric and matchers."""
    text = re.sub(r"\b(?:by|on|ignoring|group_left|group_right) ?\([^)]*\)", " ", query)
    return re.findall(r"\b(?<![\"$])([a-zA-Z_:][\w:]*)(\{[^}]*\}|(?=\[)|(?= ?\))|$)", text)


# Labels that Prometheus or its operator sets.
TARGET = {"job", "environment", "instance", "namespace", "pod"}
# Metrics of other exporters in the cluster; the tests of the rules and dashboards use them as well.
FOREIGN = re.compile(r"up|scrape_samples_scraped|kube_\w+|container_\w+|probe_\w+|argocd_app_info")


def selects(operator, pattern, values):
    """Returns whether a matcher selects any of the values."""
    return any(re.fullmatch(pattern, value) if "~" in operator else pattern == value for value in values)


@pytest.mark.parametrize(("path", "query"), queries(), ids=lambda value: getattr(value, "stem", None) or value[:40])
def test_each_query_names_existing_metrics_labels_and_values(path, query):
    known, recorded = documented(), {rule["record"] for rule in rules() if "record" in rule}
    found = selectors(query)
    assert found
    for name, matchers in found:
        metric = re.sub(r"_(?:bucket|count|sum)$", "", name) if name not in known else name
        assert metric in known or name in recorded or FOREIGN.fullmatch(name), name
        for label, operator, value in re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', matchers):
            if label in TARGET or metric not in known:
                continue
            assert f"`{label}`" in known[metric], label
            if label not in ("client_id", "http_response_status_code"):
                values = re.findall(r"`([^`\n]+)`", known[metric])
                assert [one for one in value.split("|") if one and not selects(operator, one, values)] == [], label
    for label in {label for labels in re.findall(r"\bby \(([^)]*)\)", query) for label in labels.split(", ")} - TARGET - {"le"}:
        described = [known[metric] for metric in known if metric in query]
        assert not described or any(f"`{label}`" in section for section in described), label


@pytest.mark.parametrize(("path", "query"), queries(), ids=lambda value: getattr(value, "stem", None) or value[:40])
def test_no_query_returns_every_series_that_is_zero(path, query):
    """A sum that is grouped has as many zeros as groups; the one that matters would be lost among them."""
    if re.match(r"(?:topk\(\d+, )?sum by \((?!le\))", query):
        assert re.search(r" > [\d.]+$", query)
    assert "by (instance)" not in query, "people know pods by their names"


@pytest.mark.parametrize("name", [*RUNBOOKS, "incidents"])
def test_log_queries_use_existing_fields(name):
    logging = (TOP / "docs/logging.md").read_text()
    text = RUNBOOKS.get(name) or OTHERS[name]
    used = re.findall(r"`((?:event|http|client|error|log|service)\.[a-z_.]+)", text)
    assert [field for field in used if f"| `{field}` |" not in logging] == []
    for action in re.findall(r"event\.action: ([a-z-]+)", text):
        assert f"| `{action}` |" in logging, action


OVERRIDE = re.compile(r'gh workflow run override\.yml --field environment=production --field (set|remove)=([A-Z0-9_]+)(?:=\S+)? --field reason="[^"]+"')


def variables():
    return set(re.findall(r"^\| `([A-Z0-9_]+)` \|", (TOP / "docs/configuration.md").read_text(), re.M))


def reviewed():
    """Returns the expression for variables that the emergency lane does not change in production."""
    return re.compile(re.search(r'^REVIEWED = re.compile\(r"(.*)"\)$', (TOP / "scripts/release/override").read_text(), re.M)[1])


@pytest.mark.parametrize("name", [*RUNBOOKS, "incidents"])
def test_its_overrides_are_possible(name):
    text = RUNBOOKS.get(name) or OTHERS[name]
    for command in re.findall(r"^\$ (gh workflow run override.*)$", text, re.M):
        given = OVERRIDE.fullmatch(command)
        # Which variable is overridden only the diagnosis shows.
        assert given and (name == "ShoutbackOverridden" and given[2] == "NAME" or given[2] in variables() and not reviewed().fullmatch(given[2])), command


@pytest.mark.parametrize("name", RUNBOOKS)
def test_a_remedy_that_changes_a_variable_has_its_command(name):
    """Unless it says that the variable needs a release, or names a limit that was reached."""
    remedy = sections(RUNBOOKS[name])["Mitigation"].partition("**Do not**")[0]
    prose = FENCE.sub("", remedy)
    named = {variable for variable in re.findall(r"`([A-Z][A-Z0-9_]+)`", prose) if variable in variables()}
    changed = {variable for _, variable in OVERRIDE.findall(remedy)}
    explained = {variable for sentence in re.split(r"[.;:]\s", prose) for variable in named if variable in sentence and re.search(r"release|smaller than", sentence)}
    assert named - changed - explained == set()


def test_the_resumed_sync_has_the_policy_of_the_application():
    """`argocd app set --sync-policy automated` alone would disable pruning and self-heal, and nothing would restore them."""
    template = (TOP / "gitops/platform/argocd-settings/templates/applicationsets.yaml").read_text()
    assert re.findall(r"automated: (.*)", template) == ["{ prune: true, selfHeal: true }"]
    resumed = [command for text in [*RUNBOOKS.values(), *OTHERS.values()] for command in re.findall(r"--sync-policy automated.*", text)]
    assert resumed and set(resumed) == {"--sync-policy automated --auto-prune --self-heal"}


def test_a_setting_of_an_application_names_one_of_its_sources():
    """The command line tool rejects `app set` for an application of several sources without it."""
    found = [command for _, command in commands("argocd") if command.startswith("argocd app set ")]
    assert len(found) == 2 and all(" --source-position 1 " in command for command in found)


SHORT = {**{f"docs/runbooks/{name}.md": 240 for name in RUNBOOKS}, "docs/runbooks/README.md": 400, "docs/incidents.md": 1000, "docs/operations.md": 800}


@pytest.mark.parametrize("name", SHORT)
def test_it_is_short(name):
    text = (TOP / name).read_text()
    assert len(text.split()) <= SHORT[name]
    lines = re.sub(r"^ *```.*?^ *```$|^\|.*?$", "", text, flags=re.M | re.S).splitlines()
    assert [line for line in lines if len(line) > 140] == []


def test_all_files_of_the_directory_are_runbooks():
    assert {path.name for path in DIRECTORY.iterdir()} == {f"{name}.md" for name in RUNBOOKS} | {"README.md"}
