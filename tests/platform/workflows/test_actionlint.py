"""GitHub's workflows, by actionlint. zizmor and shellcheck are in tests/repository/static."""

import shutil
import subprocess

import pytest
from workflows import TOP

from harness.git import git


def test_actionlint_is_content():
    done = actionlint(TOP)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("there", "instead", "said"),
    [
        ("runs-on: ubuntu-24.04\n", "runs-on: ubuntu-2404\n", 'label "ubuntu-2404" is unknown'),
        ("steps.deploy.outputs.commit", "steps.deployed.outputs.commit", 'property "deployed" is not defined'),
        ("queue: max", "queues: max", 'unexpected key "queues"'),
    ],
)
def test_actionlint_finds_faults(there, instead, said, tmp_path):
    shutil.copytree(TOP / ".github", tmp_path / ".github")
    # actionlint looks for the repository that a workflow is in.
    git(tmp_path, "init", "--quiet")
    workflow = tmp_path / ".github/workflows/main.yml"
    text = workflow.read_text()
    assert there in text
    workflow.write_text(text.replace(there, instead, 1))
    done = actionlint(tmp_path)
    assert done.returncode != 0
    assert said in done.stdout + done.stderr


def actionlint(directory):
    # shellcheck has the steps in tests/repository/static.
    return subprocess.run(["actionlint", "-no-color", "-shellcheck=", "-pyflakes="], cwd=directory, capture_output=True, text=True)
