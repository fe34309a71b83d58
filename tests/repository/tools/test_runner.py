"""scripts/test: which suites run, what skips them, and the counts on the last line."""

import os
import re
import signal
import subprocess
import time
import tomllib
from pathlib import Path

import pytest

from harness.process import wait_until

TOP = Path(__file__).resolve().parents[3]
SUITES = tomllib.loads((TOP / "tests/suites.toml").read_text())
TOOLS = tomllib.loads((TOP / "scripts/tools.toml").read_text())

TABLE = """
[good]
tier = "quick"
run = "echo good runs"

[alone]
tier = "full"
alone = true
run = "echo alone runs"

[bad]
tier = "full"
run = "exit 3"

[far]
tier = "online"
run = "echo far runs"

[lacking]
tier = "full"
run = "echo 'skipped: needs a moon: wait for the night' >&2; exit 77"

[toolless]
tier = "full"
tools = ["tool"]
run = "echo never"
"""
MISSING_TOOL = '[tool]\ncommands = { "no-such-command" = "no-such-package" }\n'


@pytest.fixture
def run(tmp_path):
    (tmp_path / "suites.toml").write_text(TABLE)
    (tmp_path / "tools.toml").write_text(MISSING_TOOL)

    def run(*arguments, **variables):
        environment = {name: os.environ[name] for name in ("PATH", "HOME")} | variables
        environment |= {"SUITES_TABLE": str(tmp_path / "suites.toml"), "TOOLS_TABLE": str(tmp_path / "tools.toml")}
        done = subprocess.run([TOP / "scripts/test", *arguments], env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout.splitlines(), done.stderr

    return run


def test_the_quick_tier_is_what_make_test_runs(run):
    code, lines, _ = run("quick")
    assert code == 0 and "good runs" in lines and lines[-1] == "1 passed, 0 failed, 0 skipped"


def test_suites_that_need_other_servers_run_by_name_only(run):
    assert "far runs" not in run("all")[1] + run("all", SKIP_QUICK="1")[1]
    assert "far runs" in run("all", "far")[1]


def test_all_run_even_if_one_fails(run):
    code, lines, _ = run("all", "good", "bad", "alone")
    assert code == 1 and "good runs" in lines and "alone runs" in lines
    assert lines[-1] == "2 passed, 1 failed, 0 skipped"
    assert any(re.fullmatch(r"bad +\d+ s  FAILED   exit code 3", line) for line in lines)


def test_without_the_quick_ones(run):
    _, lines, _ = run("all", SKIP_QUICK="1")
    assert "good runs" not in lines and "alone runs" in lines


def test_a_skip_is_reported_with_its_reason_and_is_not_a_failure(run):
    code, lines, _ = run("all", "good", "lacking")
    assert code == 0 and lines[-1] == "1 passed, 0 failed, 1 skipped"
    assert any(re.fullmatch(r"lacking +\d+ s  skipped  needs a moon: wait for the night", line) for line in lines)


def test_require_all_turns_skips_into_failures(run):
    code, lines, _ = run("all", "good", "lacking", REQUIRE_ALL="1")
    assert code == 1 and lines[-1] == "1 passed, 1 failed, 0 skipped"


@pytest.mark.skipif(os.geteuid() == 0, reason="root would install it; test_tools.py covers that")
def test_a_missing_tool_skips_with_its_remedy(run):
    code, lines, _ = run("all", "toolless")
    assert code == 0 and lines[-1] == "0 passed, 0 failed, 1 skipped"
    assert any("needs no-such-command: sudo apt-get install no-such-package" in line for line in lines)


def test_leftover_processes_of_a_suite_are_ended(tmp_path):
    left = tmp_path / "left"
    (tmp_path / "suites.toml").write_text(f'[leaves]\ntier = "full"\nrun = "sleep 600 & echo $! >{left}"\n')
    environment = {name: os.environ[name] for name in ("PATH", "HOME")} | {"SUITES_TABLE": str(tmp_path / "suites.toml")}
    done = subprocess.run([TOP / "scripts/test", "all"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith("1 passed, 0 failed, 0 skipped\n")
    state = Path(f"/proc/{left.read_text().strip()}/stat")
    wait_until("it has ended", lambda: not state.exists() or state.read_text().split()[2] == "Z")


def test_a_suite_that_hangs_is_interrupted_and_fails(tmp_path, run):
    (tmp_path / "suites.toml").write_text(
        '''[hangs]\ntier = "full"\nrun = "trap 'echo it waited here; kill $!; exit 1' INT; sleep 600 & wait"\n[good]\ntier = "full"\nrun = "true"\n'''
    )
    code, lines, _ = run("all", SUITE_SECONDS="1")
    assert code == 1 and lines[-1] == "1 passed, 1 failed, 0 skipped" and "it waited here" in lines
    assert any(re.fullmatch(r"hangs +\d+ s  FAILED   exit code 1: interrupted after 1 s; .*", line) for line in lines)


def test_the_deadline_leaves_out_what_does_not_end_by_then(tmp_path, run):
    slow = "".join(f'[slow-{number}]\ntier = "full"\nalone = true\nrun = "sleep 600"\n' for number in range(2))
    (tmp_path / "suites.toml").write_text(f'[good]\ntier = "full"\nalone = true\nrun = "true"\n{slow}')
    code, lines, _ = run("all", REQUIRE_ALL="1", DEADLINE=str(time.time() + 6))
    assert code == 0 and lines[-1] == "1 passed, 0 failed, 0 skipped, 2 left out at the deadline"
    assert sum(bool(re.fullmatch(r"slow-\d +\d+ s  left out", line)) for line in lines) == 2


def test_a_failure_before_the_deadline_remains_one(tmp_path, run):
    (tmp_path / "suites.toml").write_text('[bad]\ntier = "full"\nrun = "exit 3"\n[slow]\ntier = "full"\nrun = "sleep 600"\n')
    code, lines, _ = run("all", DEADLINE=str(time.time() + 6))
    assert code == 1 and lines[-1] == "0 passed, 1 failed, 0 skipped, 1 left out at the deadline"


def test_suites_that_run_alone_are_built_beside_those_before_them(tmp_path, run):
    record = tmp_path / "record"
    (tmp_path / "cargo").write_text(f"#!/bin/sh\necho built >>{record}\n")
    (tmp_path / "cargo").chmod(0o755)
    waits = f"until test -e {record}; do sleep 0.1; done; echo it is built"
    (tmp_path / "suites.toml").write_text(
        f"""[waits]\ntier = "full"\nrun = "{waits}"\n[good]\ntier = "full"\nrun = "true"\n[alone]\ntier = "full"\nalone = true\nbuild = "debug"\nrun = "echo $SHOUTBACK_BIN"\n"""
    )
    code, lines, _ = run("all", PATH=f"{tmp_path}:{os.environ['PATH']}", CARGO_TARGET_DIR="built", SUITE_SECONDS="60")
    assert code == 0 and "it is built" in lines and "built/debug/shoutback" in lines
    assert record.read_text() == "built\n" * 2


def test_suites_that_build_yield_to_the_others(tmp_path, run):
    suites = "".join(f'[{name}]\ntier = "full"\nalone = true\n{builds}run = "echo {name} $(nice)"\n' for name, builds in {"builds": "builds = true\n", "tests": ""}.items())
    (tmp_path / "suites.toml").write_text(suites)
    _, lines, _ = run("all")
    own = os.nice(0)
    assert f"builds {min(own + 5, 19)}" in lines and f"tests {own}" in lines


def test_an_error_of_the_runner_is_a_failed_suite(tmp_path, run):
    (tmp_path / "suites.toml").write_text('[wrong]\ntier = "full"\nneeds = ["a typo"]\nrun = "true"\n[good]\ntier = "full"\nrun = "true"\n')
    code, lines, _ = run("all")
    assert code == 1 and lines[-1] == "1 passed, 1 failed, 0 skipped"


def test_an_unknown_suite_is_wrong_usage(run):
    code, _, stderr = run("all", "god")
    assert code == 2 and "no suite is named god" in stderr and "good" in stderr


TRAPPED = "trap 'echo ended >>$RECORD; kill $!; exit 1' INT; sleep 600 & echo ready >>$RECORD; wait"


@pytest.mark.parametrize(("alone", "suites", "running"), [("true", 1, 1), ("false", 5, 3)])
def test_an_interrupt_ends_running_suites_and_starts_none(tmp_path, alone, suites, running):
    entry = f'tier = "full"\nalone = {alone}\nrun = "{TRAPPED}"\n'
    (tmp_path / "suites.toml").write_text("".join(f"[suite-{number}]\n{entry}" for number in range(suites)))
    record = tmp_path / "record"
    record.touch()
    environment = {name: os.environ[name] for name in ("PATH", "HOME")} | {"SUITES_TABLE": str(tmp_path / "suites.toml"), "RECORD": str(record)}
    with subprocess.Popen([TOP / "scripts/test", "all"], env=environment, stdout=subprocess.PIPE, text=True) as child:
        wait_until("the suites run", lambda: record.read_text().count("ready") == running)
        child.send_signal(signal.SIGINT)
        lines = child.stdout.read().splitlines()
    assert child.returncode == 130 and lines[-1] == f"0 passed, 0 failed, 0 skipped, {suites} stopped or not started"
    stopped = sorted(line.split()[0] for line in lines if re.fullmatch(r"suite-\d +\d+ s  stopped", line))
    assert stopped == [f"suite-{number}" for number in range(suites)]
    assert record.read_text().count("ended") == record.read_text().count("ready") == running


@pytest.mark.parametrize("name", SUITES)
def test_paths_of_a_suite_exist(name):
    suite = SUITES[name]
    assert suite["tier"] in ("quick", "full", "online") and suite["job"]
    assert set(suite.get("needs", [])) <= {"root", "terraform", "git", "curl", "descriptors"}
    for file in [suite.get("python"), *suite.get("python_beside", [])]:
        assert file is None or (TOP / file).is_file(), file
    for tool in [*suite.get("tools", []), *suite.get("env", {}).values()]:
        kind, _, folder = tool.partition(":")
        assert kind in TOOLS or kind == "npm" and (TOP / folder / "package-lock.json").is_file(), tool


def test_quick_suites_need_no_tools():
    for name, suite in SUITES.items():
        if suite["tier"] == "quick":
            assert not suite.get("tools") and set(suite.get("needs", [])) <= {"git", "curl"} and suite.get("build") != "release", name


def test_every_tool_is_used():
    used = {tool for suite in SUITES.values() for tool in [*suite.get("tools", []), *suite.get("env", {}).values()]}
    used |= {tool for entry in TOOLS.values() for tool in entry.get("tools", [])}
    scripts = "".join(path.read_text() for path in (TOP / "scripts").iterdir() if path.is_file() and path.name not in ("tools", "tools.toml"))
    for tool in TOOLS.keys() - used:
        assert re.search(rf"scripts/tools\W+path\b[^)\n]*\b{re.escape(tool)}\b", scripts), tool
