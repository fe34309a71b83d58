"""The solutions of the drill: each query of docs/drill.md identifies its cause and no other."""

import contextlib
import re
import subprocess
import sys
from pathlib import Path

import drill
import pytest
from scenarios import SCENARIOS, PAGE, DrillTestbed

from harness.runbooks import runbooks

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
    for scenario in SCENARIOS:
        assert scenario.alert in runbooks() and scenario.runbook == f"runbooks/{scenario.alert}.md"


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
    done = subprocess.run([sys.executable, HERE / "drill.py", "--cause", "j", "--answer", "a"], capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "No: j" in done.stdout


def test_a_wrong_diagnosis_can_be_corrected():
    command = [sys.executable, HERE / "drill.py", "--cause", "i"]
    done = subprocess.run(command, input="a\n?\ni\n\n", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for text in ("That is not it. Look again.", "Enter one of a, b,", "Yes: i", "$env is production", "Enter ends it"):
        assert text in done.stdout


def test_every_cause_is_drawn():
    """All are equally likely, and each letter has a seed."""
    drawn = [drill.drawn(seed).letter for seed in range(3000)]
    for scenario in SCENARIOS:
        assert 140 < drawn.count(scenario.letter) < 260, scenario.letter


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.letter)
def test_the_named_alert_fires(scenario):
    """Starts the drill as its document does, without naming a cause."""
    seed = next(seed for seed in range(1000) if drill.drawn(seed) == scenario)
    command = [sys.executable, HERE / "drill.py", "--seed", str(seed), "--answer", scenario.letter]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Yes: {scenario.letter}, " in done.stdout
    assert f"{scenario.alert}: file://{PAGE.parent / scenario.runbook}" in done.stdout
