"""actionlint on GitHub's workflows. zizmor and shellcheck are in tests/repository/static."""

import shutil
import subprocess

import pytest
from workflows import TOP

from harness.git import git


def test_actionlint_finds_nothing():
    done = actionlint(TOP)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("original", "replacement", "finding"),
    [
        ("runs-on: ubuntu-24.04\n", "runs-on: ubuntu-2404\n", 'label "ubuntu-2404" is unknown'),
        ("steps.publish.outputs.digest", "steps.published.outputs.digest", 'property "published" is not defined'),
        ("queue: max", "queues: max", 'unexpected key "queues"'),
    ],
)
def test_actionlint_finds_faults(original, replacement, finding, tmp_path):
    shutil.copytree(TOP / ".github", tmp_path / ".github")
    # actionlint requires a repository around the workflow.
    git(tmp_path, "init", "--quiet")
    workflow = tmp_path / ".github/workflows/main.yml"
    text = workflow.read_text()
    assert original in text
    workflow.write_text(text.replace(original, replacement, 1))
    done = actionlint(tmp_path)
    assert done.returncode != 0
    assert finding in done.stdout + done.stderr


def actionlint(directory):
    # tests/repository/static runs shellcheck on the steps.
    return subprocess.run(["actionlint", "-no-color", "-shellcheck=", "-pyflakes="], cwd=directory, capture_output=True, text=True)
