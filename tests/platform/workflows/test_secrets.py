"""`make secrets`: the history has no secrets, and secrets are found."""

import secrets
import string
import subprocess

import pytest
from workflows import TOP

from harness.git import git, inherited


def scan(*directory):
    return subprocess.run([TOP / "scripts/secrets", *directory], cwd=TOP, env=inherited(), capture_output=True, text=True)


def test_the_history_has_no_secrets():
    done = scan()
    if done.returncode == 2:
        pytest.skip("this clone lacks a part of the history")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def repository(tmp_path):
    """`repository(file, text)`: a repository of which a commit has added that file, and a later one has removed it."""

    def repository(file, text):
        git(tmp_path, "init", "--quiet")
        (tmp_path / ".gitleaks.toml").write_text((TOP / ".gitleaks.toml").read_text())
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
        git(tmp_path, "add", "--all")
        git(tmp_path, "commit", "--quiet", "--message", "Add")
        git(tmp_path, "rm", "--quiet", file)
        git(tmp_path, "commit", "--quiet", "--message", "Remove")
        return tmp_path

    return repository


def key():
    # Generated, because a literal would be found in this file. Its alphabet is that of base32.
    return "AKIA" + "".join(secrets.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") for _ in range(16))


@pytest.mark.parametrize("file", ["terraform/main.tf", "docs/deploy.md", "tests/platform/pipeline/test_publish.py"])
def test_a_removed_key_is_found(repository, file):
    """Also in files with an allowlist entry."""
    found = key()
    done = scan(repository(file, f'access_key = "{found}"\n'))
    assert done.returncode == 1 and "aws-access-token" in done.stdout
    assert found not in done.stdout + done.stderr


def test_a_password_on_a_command_line_is_found(repository):
    password = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(24))
    done = scan(repository("docs/deploy.md", f'$ curl --user "elastic:{password}" https://example.com\n'))
    assert done.returncode == 1 and "curl-auth-user" in done.stdout


def test_a_shallow_clone_is_an_error(tmp_path):
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{TOP}", "clone")
    done = scan(tmp_path / "clone")
    assert done.returncode == 2 and "whole history" in done.stderr
