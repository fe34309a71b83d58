"""No dashboard asks for what the service does not tell, and nothing that it tells is left out."""

import re
from pathlib import Path

import pytest
from dashboards import expressions, metrics

from harness.process import http_request

PAGE = Path(__file__).parents[4] / "docs/metrics.md"

ASKED = set().union(*(metrics(expression) for expression in expressions()))


@pytest.fixture(scope="session")
def told(recorded):
    """Names of the service's metrics."""
    status, text = http_request("GET", f"http://{recorded.traffic.replicas[0].admin}/metrics")
    assert status == 200
    return set(re.findall(r"(?m)^# TYPE (\w+) ", text))


def test_nothing_is_asked_for_that_nobody_tells(told):
    assert ASKED - told == set()


def test_everything_that_is_told_is_looked_at(told):
    assert told - ASKED == set()


def test_everything_that_is_described_is_looked_at():
    described = set(re.findall(r"(?m)^\| `(\w+)` \|", PAGE.read_text()))
    assert len(described) > 35
    assert described - ASKED == set()
