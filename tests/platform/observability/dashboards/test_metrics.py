"""The dashboards query exactly the metrics that the service exports."""

import re
import subprocess
from pathlib import Path

import pytest
from dashboards import expressions, metrics

from harness.process import http_request

PAGE = Path(__file__).parents[4] / "docs/metrics.md"

QUERIED = set().union(*(metrics(expression) for expression in expressions()))


@pytest.fixture(scope="session")
def scraped(recorded):
    """Returns the service's metrics as text."""
    status, text = http_request("GET", f"http://{recorded.traffic.replicas[0].admin}/metrics")
    assert status == 200
    return text


def test_promtool_accepts_names_units_and_help(scraped):
    checked = subprocess.run(["promtool", "check", "metrics"], input=scraped, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


@pytest.fixture(scope="session")
def exported(scraped):
    """Returns the names of the service's metrics."""
    return set(re.findall(r"(?m)^# TYPE (\w+) ", scraped))


def test_each_queried_metric_is_exported(exported):
    assert QUERIED - exported == set()


def test_each_exported_metric_is_queried(exported):
    assert exported - QUERIED == set()


def test_each_documented_metric_is_queried():
    described = set(re.findall(r"(?m)^\| `(\w+)` \|", PAGE.read_text()))
    assert len(described) > 35
    assert described - QUERIED == set()
