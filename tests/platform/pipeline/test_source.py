"""git works for the tests whoever owns the checkout, and whatever the caller's git is configured to do."""

import os
import re
import subprocess

import pytest

from harness.git import git, inherited, listed
from harness.process import ENVIRONMENT
from source import ROOT

# A hook of git's own tests: every repository is taken for another user's.
OTHERS = {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}

# Each of these breaks a commit, or hides a file.
HOSTILE = """\
[commit]
	gpgSign = true
[gpg]
	program = false
[core]
	hooksPath = {home}/hooks
	excludesFile = {home}/ignore
[user]
	useConfigOnly = true
[init]
	templateDir = {home}/template
	defaultBranch = trunk
"""


@pytest.fixture
def owned_by_another(monkeypatch):
    for name, value in OTHERS.items():
        monkeypatch.setitem(ENVIRONMENT, name, value)


def test_plain_git_refuses_the_repository_of_another_user(source):
    """If it did not, the next two tests would prove nothing."""
    plain = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull} | OTHERS
    for command in (["ls-files"], ["clone", source.bare, source.directory / "clone"]):
        done = subprocess.run(["git", *command], cwd=source.work, env=plain, capture_output=True, text=True)
        assert done.returncode != 0 and "dubious ownership" in done.stderr


@pytest.mark.usefixtures("owned_by_another")
def test_the_checkout_may_be_another_users():
    assert "scripts/release/tag" in listed(ROOT, "scripts/release")


@pytest.mark.usefixtures("owned_by_another")
def test_so_may_be_every_repository_of_a_release(merged, source):
    """Clone, fetch and push start a git of their own for the other repository, and the programs of a release start theirs."""
    run, tag, digest = merged()
    assert run.prints("tag") == tag
    commit = run.prints("deploy", "staging", tag, digest)
    assert source.deployments() == [commit]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a repository away")
def test_a_repository_that_was_given_away(merged, source):
    run, tag, digest = merged()
    for path in [source.bare, run.directory]:
        subprocess.run(["chown", "--recursive", "12345:12345", path], check=True)
    assert run.prints("tag") == tag
    commit = run.prints("deploy", "staging", tag, digest)
    assert source.deployments() == [commit]


def test_the_callers_configuration_has_no_effect(tmp_path, monkeypatch, merged, source):
    home = tmp_path / "home"
    for folder in ("hooks", "template/hooks", ".config/git"):
        (home / folder).mkdir(parents=True)
    (home / ".gitconfig").write_text(HOSTILE.format(home=home))
    for file in ("ignore", ".config/git/ignore"):
        (home / file).write_text("new\n")
    for folder in ("hooks", "template/hooks"):
        (home / folder / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
        (home / folder / "pre-commit").chmod(0o755)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(home / "template"))
    monkeypatch.setenv("GIT_DIR", str(home / "nowhere"))

    run, tag, digest = merged()
    assert run.prints("deploy", "staging", tag, digest)
    (run.directory / "new").touch()
    assert "?? new" in run.refused("tag")

    fresh = tmp_path / "fresh"
    fresh.mkdir()
    subprocess.run(["git", "init", "--quiet"], cwd=fresh, env=inherited(), check=True)
    git(fresh, "commit", "--quiet", "--allow-empty", "--message", "Begin")
    assert git(fresh, "branch", "--show-current") == "main"
    (fresh / "new").touch()
    assert listed(fresh) == ["new"]


def test_tests_call_git_by_the_harness_only():
    others = [name for name in listed(ROOT, "tests/*.py") if re.search(r"""\[\s*["']git["'],""", (ROOT / name).read_text())]
    assert sorted(others) == ["tests/harness/git.py", "tests/platform/pipeline/test_source.py"]
