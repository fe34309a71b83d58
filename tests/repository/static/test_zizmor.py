"""zizmor's audit of the workflows."""

import os
import shutil
import subprocess

import pytest
from files import TOP

from harness.git import git


def zizmor(directory):
    # A token would enable online audits, with results that change over time.
    environment = {name: value for name, value in os.environ.items() if name not in ("GH_TOKEN", "GITHUB_TOKEN", "ZIZMOR_GITHUB_TOKEN")}
    command = ["zizmor", "--offline", "--persona=auditor", "--quiet", "--no-progress", "."]
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True)


def test_zizmor_finds_nothing():
    done = zizmor(TOP)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("original", "replacement", "finding"),
    [
        ("        with:\n          persist-credentials: false\n", "", "credential"),
        ('run: scripts/release/attest "$REPOSITORY@$DIGEST"', "run: echo ${{ github.event.head_commit.message }}", "template-injection"),
    ],
)
def test_zizmor_finds_faults(original, replacement, finding, tmp_path):
    shutil.copytree(TOP / ".github", tmp_path / ".github")
    # zizmor looks for workflows at the top of a repository.
    git(tmp_path, "init", "--quiet")
    workflow = tmp_path / ".github/workflows/main.yml"
    text = workflow.read_text()
    assert original in text, "the replaced text is missing"
    workflow.write_text(text.replace(original, replacement, 1))
    done = zizmor(tmp_path)
    assert done.returncode != 0
    assert finding in done.stdout + done.stderr
