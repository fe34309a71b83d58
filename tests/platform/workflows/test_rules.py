"""Each workflow keeps to each rule, and each rule finds the faults that it is for."""

import os
import shutil
import subprocess

import pytest
from faults import FAULTS
from rules import RULES
from workflows import TOP, Workflow, read


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_is_kept(rule):
    assert list(rule(read())) == []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_is_broken_by_a_fault(fault):
    workflows = read()
    text = workflows[fault.workflow].text
    assert fault.there in text, "the fault is not where it was"
    workflows[fault.workflow] = Workflow(fault.workflow, text.replace(fault.there, fault.instead, 1))
    [rule] = [rule for rule in RULES if rule.__name__ == fault.rule]
    assert list(rule(workflows))


def test_each_rule_has_a_fault():
    assert {rule.__name__ for rule in RULES} == {fault.rule for fault in FAULTS}


LINTERS = {"actionlint": ["actionlint", "-no-color"], "zizmor": ["zizmor", "--offline", "--pedantic", "--quiet", "--no-progress", "."]}


@pytest.mark.parametrize("linter", LINTERS)
def test_linters_are_content(linter):
    done = lint(linter, TOP)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("linter", "there", "instead", "said"),
    [
        ("actionlint", "runs-on: ubuntu-24.04\n", "runs-on: ubuntu-2404\n", 'label "ubuntu-2404" is unknown'),
        ("actionlint", "steps.deploy.outputs.commit", "steps.deployed.outputs.commit", 'property "deployed" is not defined'),
        ("actionlint", "queue: max", "queues: max", 'unexpected key "queues"'),
        ("zizmor", "        with:\n          persist-credentials: false\n", "", "credential"),
        ("zizmor", 'run: scripts/release/wait staging "$COMMIT"', "run: echo ${{ github.event.head_commit.message }}", "template-injection"),
    ],
)
def test_linters_find_faults(linter, there, instead, said, tmp_path):
    shutil.copytree(TOP / ".github", tmp_path / ".github")
    # actionlint looks for the repository that a workflow is in.
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    workflow = tmp_path / ".github/workflows/main.yml"
    text = workflow.read_text()
    assert there in text
    workflow.write_text(text.replace(there, instead, 1))
    done = lint(linter, tmp_path)
    assert done.returncode != 0
    assert said in done.stdout + done.stderr


def lint(linter, directory):
    # Without a token and shellcheck: the same answer everywhere.
    environment = {name: value for name, value in os.environ.items() if name not in ("GH_TOKEN", "GITHUB_TOKEN")}
    command = LINTERS[linter]
    if linter == "actionlint":
        command = [*command, "-shellcheck=", "-pyflakes="]
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True)
