"""Runs git, independently of the owner of the repository and of the caller's configuration."""

import os
import subprocess

from .process import ENVIRONMENT, GIT

# For commits of tests. Programs under test do not get it: they must set their own.
IDENTITY = {
    "GIT_AUTHOR_NAME": "Test",
    "GIT_AUTHOR_EMAIL": "test@example.com",
    "GIT_COMMITTER_NAME": "Test",
    "GIT_COMMITTER_EMAIL": "test@example.com",
}


def git(directory, *arguments, succeeds=True, **variables):
    """Returns what git printed. With `succeeds=False` its exit code does not matter."""
    done = subprocess.run(["git", *arguments], cwd=directory, env=ENVIRONMENT | IDENTITY | variables, capture_output=True, text=True)
    if succeeds:
        assert done.returncode == 0, f"git {arguments}: {done.stderr}"
    return done.stdout.strip()


def listed(directory, *patterns):
    """Returns the names of a checkout's files, including untracked and excluding deleted ones."""
    names = git(directory, "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *patterns).split("\0")
    return [name for name in names if name and os.path.lexists(os.path.join(directory, name))]


def inherited():
    """Returns the tests' environment without its git configuration, for a program that needs more than ENVIRONMENT."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | GIT
