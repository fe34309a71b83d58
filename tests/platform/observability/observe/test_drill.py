"""The drill's key: each query of docs/drill.md finds the cause that it is for, and no other."""

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
        testbed.prometheus.until("traffic has been seen", lambda: testbed.prometheus.query("sum(rate(shoutback_shouts_total[5s])) > 0"))
        yield testbed


def found(testbed):
    return {cause.letter for cause in SCENARIOS if testbed.prometheus.query(cause.faster_query)}


def test_every_row_of_the_page_is_read():
    assert len(SCENARIOS) == len(re.findall(r"^\| [a-z] \|", PAGE.read_text(), re.MULTILINE)) > 8
    sections = re.findall(r"^### (\w+)$", (PAGE.parent / "operations.md").read_text(), re.MULTILINE)
    for cause in SCENARIOS:
        assert cause.alert in sections and cause.section == f"operations.md#{cause.alert.lower()}"


@pytest.mark.parametrize("cause", SCENARIOS, ids=lambda cause: f"{cause.letter}: {cause.cause}")
def test_a_cause_is_told_from_all_others(testbed, cause):
    testbed.prometheus.until("all is well", lambda: not found(testbed))
    others = set()
    with testbed.broken(cause.letter):

        def seen():
            now = found(testbed)
            others.update(now - {cause.letter})
            return cause.letter in now

        testbed.prometheus.until("the key finds it", seen)
    assert others == set()


def test_the_answer_is_told_right_or_wrong():
    for answer, code, says in [("j", 0, "Yes: j"), ("a", 1, "No: j")]:
        done = subprocess.run([sys.executable, HERE / "drill.py", "--cause", "j", "--answer", answer], capture_output=True, text=True)
        assert done.returncode == code, done.stdout + done.stderr
        assert says in done.stdout and "ShoutbackNoTraffic: docs/operations.md#" in done.stdout
