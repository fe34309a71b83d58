"""The changelog, Cargo.toml and the chart agree about the version."""

import re
import tomllib
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]
HEADING = re.compile(r"^## \[([^\]]+)\](?: - (\d{4}-\d{2}-\d{2}))?$", re.M)
VERSIONS = HEADING.findall((TOP / "CHANGELOG.md").read_text())


def test_the_newest_version_is_that_of_the_program_and_the_chart():
    package = tomllib.loads((TOP / "Cargo.toml").read_text())["package"]["version"]
    chart = dict(re.findall(r"^(version|appVersion): (\S+)$", (TOP / "helm/shoutback/Chart.yaml").read_text(), re.M))
    assert VERSIONS[1][0] == package == chart["version"] == chart["appVersion"]


def test_unreleased_changes_come_first_and_versions_have_dates():
    assert VERSIONS[0] == ("Unreleased", "")
    dates = [date for _, date in VERSIONS[1:]]
    assert all(dates) and dates == sorted(dates, reverse=True)
