"""The objectives: what is generated from them, and how soon what consumers suffer becomes a page."""

import re
import subprocess
import sys
from pathlib import Path

import incidents
import pytest
from objectives import API, BY_NAME

from harness.runbooks import runbooks, sections

TOP = Path(__file__).parents[4]
GENERATED = [
    "observability/prometheus/rules/slo-recording.yaml",
    "observability/prometheus/rules/slo-alerts.yaml",
    "observability/cloudwatch/alarms/slo.yaml",
    "observability/cloudwatch/dashboard.yaml",
    "docs/slo.md",
]


def test_what_is_generated_is_up_to_date(tmp_path):
    subprocess.run([sys.executable, TOP / "observability/slo", tmp_path], check=True)
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert written == set(GENERATED)
    for name in GENERATED:
        assert (tmp_path / name).read_text() == (TOP / name).read_text(), f"{name}: run `make slo`"


def readers():
    """Returns the files that select the service's metrics."""
    found = [path for part in ("prometheus/rules", "cloudwatch", "grafana/source", "slo") for path in (TOP / "observability" / part).rglob("*")]
    found = [path for path in found if path.is_file() and path.suffix != ".pyc"]
    assert len(found) > 10
    return found


def test_no_other_file_states_what_is_bad():
    """Matchers of an objective, written by hand, would be a second definition."""
    by_hand = [path for path in readers() if "slo" not in path.parts and str(path.relative_to(TOP)) not in GENERATED]
    for path in by_hand:
        assert 'http_response_status_code=~"2..|5.."' not in path.read_text().replace("job_environment_slo", ""), path


def test_what_selects_routes_selects_all_routes_of_the_api():
    """Otherwise a new route would be in one part of a ratio and not in the other, or in no alert."""
    texts = {path: path.read_text() for path in [*readers(), *(TOP / "docs").rglob("*.md")]}
    for path, text in texts.items():
        for matcher in re.findall(r'http_route[!=]~?"[^"]*"', text):
            assert matcher.replace("!~", "=~") == API, f"{path}: use {API}, or its negation, instead of {matcher}"


def test_the_runbook_has_the_bounds_of_the_objectives():
    section = sections(runbooks()["ShoutbackLatencyBurnFast"])["Meaning"]
    for name in ("latency", "latency-tail"):
        _, found, text = section.partition(f"`{name}`:")
        means = text.partition("`:")[0]
        bounds = [f"{bound:g} s" for _, _, bound in BY_NAME[name].good]
        assert found, name
        assert re.findall(r"(?:more|longer) than\s+(\S+ s)\b", means) == bounds, name


def test_incidents_page_in_time_and_nothing_else_does(incident_tests):
    incident_tests.child.wait(timeout=1800)
    assert incident_tests.child.returncode == 0, incident_tests.output()


def test_the_promises_hold():
    for incident in incidents.PAIN:
        assert incident.page is not None or incident.ticket is not None, incident.name
        assert incident.within is None or incident.page <= incident.within, incident.name
    assert len(incidents.PAIN) >= 24 and len(incidents.INNOCENCE) >= 20
    assert all(incident.page is None for incident in incidents.INNOCENCE)
    assert incidents.mean() < 10


@pytest.mark.parametrize("promise", ["every request fails with 503", "every caller hangs up", "the ingress is dead, at 0.1/s"])
def test_the_three_promises_have_incidents(promise):
    limits = {"every request fails with 503": 3, "every caller hangs up": 10, "the ingress is dead, at 0.1/s": 10}
    found = [incident for incident in incidents.PAIN if promise in incident.name]
    assert found and all(incident.page <= limits[promise] for incident in found)


def test_the_table_is_up_to_date():
    assert incidents.filled(incidents.PAGE.read_text()) == incidents.PAGE.read_text(), f"run `python {incidents.__file__}`"
