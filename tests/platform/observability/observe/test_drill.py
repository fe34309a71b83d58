"""The solutions of the drill: each query of docs/drill.md identifies its cause and no other."""

import contextlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from scenarios import SCENARIOS, PAGE, DrillTestbed

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def testbed(tmp_path_factory):
    with contextlib.ExitStack() as stack:
        testbed = DrillTestbed(stack, tmp_path_factory.mktemp("drill"))
        testbed.prometheus.until("Prometheus has seen traffic", lambda: testbed.prometheus.query("sum(rate(shoutback_shouts_total[5s])) > 0"))
        yield testbed


def found(testbed):
    return {scenario.letter for scenario in SCENARIOS if testbed.prometheus.query(scenario.faster_query)}


def test_every_row_of_the_document_is_covered():
    assert len(SCENARIOS) == len(re.findall(r"^\| [a-z] \|", PAGE.read_text(), re.MULTILINE)) > 8
    sections = re.findall(r"^### (\w+)$", (PAGE.parent / "operations.md").read_text(), re.MULTILINE)
    for scenario in SCENARIOS:
        assert scenario.alert in sections and scenario.section == f"operations.md#{scenario.alert.lower()}"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: f"{scenario.letter}: {scenario.cause}")
def test_a_query_identifies_only_its_cause(testbed, scenario):
    testbed.prometheus.until("no query matches", lambda: not found(testbed))
    others = set()
    with testbed.inject(scenario.letter):

        def matches():
            now = found(testbed)
            others.update(now - {scenario.letter})
            return scenario.letter in now

        testbed.prometheus.until("the query finds it", matches)
    assert others == set()


def test_the_drill_checks_the_diagnosis():
    for diagnosis, code, output in [("j", 0, "Yes: j"), ("a", 1, "No: j")]:
        done = subprocess.run([sys.executable, HERE / "drill.py", "--cause", "j", "--answer", diagnosis], capture_output=True, text=True)
        assert done.returncode == code, done.stdout + done.stderr
        assert output in done.stdout and "ShoutbackNoTraffic: docs/operations.md#" in done.stdout
