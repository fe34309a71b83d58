"""git works for the tests independently of the owner of the checkout and of the caller's configuration."""

import os
import re
import subprocess

import pytest

from harness.git import git, inherited, listed
from harness.process import ENVIRONMENT
from source import ROOT

# A variable of git's own tests: git treats every repository as owned by another user.
OTHER_OWNER = {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}

# Settings that break a commit or hide a file.
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
    for name, value in OTHER_OWNER.items():
        monkeypatch.setitem(ENVIRONMENT, name, value)


def test_plain_git_rejects_the_repository_of_another_user(source):
    """Otherwise the next two tests would prove nothing."""
    plain = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull} | OTHER_OWNER
    for command in (["ls-files"], ["clone", source.bare, source.directory / "clone"]):
        done = subprocess.run(["git", *command], cwd=source.work, env=plain, capture_output=True, text=True)
        assert done.returncode != 0 and "dubious ownership" in done.stderr


@pytest.mark.usefixtures("owned_by_another")
def test_the_checkout_may_belong_to_another_user():
    assert "scripts/release/tag" in listed(ROOT, "scripts/release")


@pytest.mark.usefixtures("owned_by_another")
def test_repositories_of_a_release_may_belong_to_another_user(merged, source):
    """Clone, fetch and push start another git for the other repository, and the release programs run git, too."""
    run, tag, digest = merged()
    assert run.prints("tag") == tag
    commit = run.prints("deploy", "staging", tag, digest)
    assert source.deployments("staging") == [commit]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a repository away")
def test_a_repository_with_another_owner(merged, source):
    run, tag, digest = merged()
    for path in [source.bare, run.directory]:
        subprocess.run(["chown", "--recursive", "12345:12345", path], check=True)
    assert run.prints("tag") == tag
    commit = run.prints("deploy", "staging", tag, digest)
    assert source.deployments("staging") == [commit]


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
    assert "?? new" in run.error("tag")

    fresh = tmp_path / "fresh"
    fresh.mkdir()
    subprocess.run(["git", "init", "--quiet"], cwd=fresh, env=inherited(), check=True)
    git(fresh, "commit", "--quiet", "--allow-empty", "--message", "Begin")
    assert git(fresh, "branch", "--show-current") == "main"
    (fresh / "new").touch()
    assert listed(fresh) == ["new"]


def test_tests_run_git_only_by_the_harness():
    callers = [name for name in listed(ROOT, "tests/*.py") if re.search(r"""\[\s*["']git["'],""", (ROOT / name).read_text())]
    assert sorted(callers) == ["tests/harness/git.py", "tests/platform/pipeline/git_server.py", "tests/platform/pipeline/test_source.py"]
