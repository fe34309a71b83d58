"""git, independent of who owns the repository and of how the caller has configured git."""

import os
import subprocess

from .process import ENVIRONMENT, GIT

# For tests' own commits. Programs under test are not given it: they have to set theirs.
IDENTITY = {
    "GIT_AUTHOR_NAME": "Somebody",
    "GIT_AUTHOR_EMAIL": "somebody@example.com",
    "GIT_COMMITTER_NAME": "Somebody",
    "GIT_COMMITTER_EMAIL": "somebody@example.com",
}


def git(directory, *arguments, succeeds=True, **variables):
    """Returns what git printed. With `succeeds=False` its exit code does not matter."""
    done = subprocess.run(["git", *arguments], cwd=directory, env=ENVIRONMENT | IDENTITY | variables, capture_output=True, text=True)
    if succeeds:
        assert done.returncode == 0, f"git {arguments}: {done.stderr}"
    return done.stdout.strip()


def listed(directory, *patterns):
    """Returns the names of a checkout's files, new ones included and deleted ones left out."""
    names = git(directory, "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *patterns).split("\0")
    return [name for name in names if name and os.path.lexists(os.path.join(directory, name))]


def inherited():
    """Returns the environment of the tests for a program that needs more of it than ENVIRONMENT has, without its git configuration."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | GIT
