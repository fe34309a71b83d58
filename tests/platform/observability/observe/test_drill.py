"""The solutions of the drill: each query identifies its cause and no other."""

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import drill
import pytest
from scenarios import SCENARIOS, DrillTestbed

from harness.runbooks import runbooks

HERE = Path(__file__).parent
TOP = HERE.parents[3]


@pytest.fixture(scope="module")
def testbed(tmp_path_factory):
    with contextlib.ExitStack() as stack:
        testbed = DrillTestbed(stack, tmp_path_factory.mktemp("drill"))
        testbed.prometheus.until("Prometheus has seen traffic", lambda: testbed.prometheus.query("sum(rate(shoutback_shouts_total[5s])) > 0"))
        yield testbed


def found(testbed):
    return {scenario.letter for scenario in SCENARIOS if testbed.prometheus.query(scenario.faster_query)}


def test_each_solution_has_a_runbook_and_a_fault():
    letters = [scenario.letter for scenario in SCENARIOS]
    assert len(letters) == len(set(letters)) > 8
    assert {name for name in vars(DrillTestbed) if len(name) == 2} == {f"_{letter}" for letter in letters}
    assert {scenario.alert for scenario in SCENARIOS} <= runbooks().keys()


def test_a_trainee_does_not_read_the_solutions():
    page = (TOP / "docs/drill.md").read_text()
    assert [scenario.cause for scenario in SCENARIOS if scenario.cause in page or scenario.query in page] == []


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


def test_an_alert_that_has_resolved_is_reported(testbed):
    """A trainee may take longer than an alert lasts."""
    scenario = next(scenario for scenario in SCENARIOS if scenario.letter == "p")
    began = time.time()
    with testbed.inject(scenario.letter):
        testbed.prometheus.until("it fires", lambda: drill.fires(testbed, scenario.alert), within=120)
        assert drill.summary(testbed, scenario.alert, began) == "Replicas of Shoutback in production do not use Valkey"
    testbed.prometheus.until("it resolves", lambda: not drill.fires(testbed, scenario.alert), within=120)
    testbed.prometheus.until("the query finds nothing", lambda: not testbed.prometheus.query(scenario.faster_query))
    assert "resolved meanwhile" in drill.summary(testbed, scenario.alert, began)
    assert "has no result now" in drill.found(testbed, scenario, within=0)
    assert "has not fired" in drill.summary(testbed, "ShoutbackMemoryHigh", began, within=0)


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
    assert f"{scenario.alert}: file://{TOP}/docs/runbooks/{scenario.alert}.md" in done.stdout
    for failure in ("has no result", "has not fired", "resolved meanwhile"):
        assert failure not in done.stdout
