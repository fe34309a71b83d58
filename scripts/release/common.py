"""Errors, logging, git and arguments that the programs of this folder share."""

import argparse
import base64
import os
import re
import subprocess
import sys

ENVIRONMENTS = ("staging", "production")

SHA = re.compile(r"[0-9a-f]{40}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Failure(Exception):
    """An error whose text is shown to the user."""


def log(text):
    print(text, file=sys.stderr, flush=True)


def run(main):
    """Runs `main` and prints what it returns. Exits with 1 on a Failure; argparse exits with 2 on wrong usage."""
    try:
        output = main()
    except Failure as failure:
        log(f"error: {failure}")
        sys.exit(1)
    if output:
        print(output)


def parser(description):
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def matching(pattern, what):
    """Returns an argparse type that accepts texts matching `pattern`."""

    def check(text):
        if not pattern.fullmatch(text):
            raise argparse.ArgumentTypeError(f"{text!r} is not a {what}")
        return text

    return check


# HOST/PATH without a tag, such as 127.0.0.1:5001/shoutback.
REPOSITORY = re.compile(r"[a-z0-9.-]+(?::\d+)?(?:/[a-z0-9._-]+)+")

IMAGE = re.compile(rf"{REPOSITORY.pattern}@{DIGEST.pattern}")


def repository(arguments):
    arguments.add_argument("repository", metavar="REPOSITORY", type=matching(REPOSITORY, "repository without a tag"), help="HOST/NAME")


def image(arguments):
    """An image by its digest, because a tag could move between two uses."""
    arguments.add_argument("image", metavar="REPOSITORY@DIGEST", type=matching(IMAGE, "REPOSITORY@sha256:…"))


def needs(arguments, *names):
    if missing := [name for name in names if not os.environ.get(name)]:
        arguments.error(f"not set: {', '.join(missing)}")


def clean_commit():
    """Returns the commit of the checkout. Fails if there are changes that it does not have."""
    if changes := git("status", "--porcelain"):
        raise Failure(f"these changes are in no commit, so no tag names them:\n{changes}")
    return git("rev-parse", "HEAD")


def environment(arguments):
    arguments.add_argument("environment", metavar="ENVIRONMENT", choices=ENVIRONMENTS, help="staging or production")


def sha(arguments, name, what):
    arguments.add_argument(name.lower(), metavar=name, type=matching(SHA, "full commit SHA"), help=what)


def digest(arguments, **options):
    arguments.add_argument("digest", metavar="DIGEST", **options, type=matching(DIGEST, "sha256 digest"), help="sha256:…")


def git(*arguments, directory=None, variables=None, succeeds=True):
    """Returns the output of git; with `succeeds=False`, the completed process."""
    # Set for another repository if a hook or an alias calls this program.
    inherited = {name: value for name, value in os.environ.items() if name not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")}
    done = subprocess.run(
        ["git", *arguments],
        cwd=directory,
        env=inherited | {"GIT_TERMINAL_PROMPT": "0"} | (variables or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if not succeeds:
        return done
    if done.returncode != 0:
        raise Failure(f"git {arguments[0]}: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done.stdout.strip()


def fetch_main():
    """Fetches main from origin, with GITHUB_TOKEN, if set: commits may have been merged since the checkout."""
    url = git("remote", "get-url", "origin")
    git("fetch", "--quiet", "origin", "+refs/heads/main:refs/remotes/origin/main", variables=access(url, "GITHUB_TOKEN", "GITOPS_TOKEN"))
    if git("rev-parse", "--is-shallow-repository") == "true":
        raise Failure("this checkout has not its whole history, and the order of commits decides")


def is_ancestor(older, newer):
    return git("merge-base", "--is-ancestor", older, newer, succeeds=False).returncode == 0


def on_main(commit):
    """Returns whether the commit is on main, as of the last `fetch_main`."""
    return is_ancestor(commit, "refs/remotes/origin/main")


def access(url, *tokens):
    """Returns the environment that authenticates git to `url` with the first of the tokens that is set. Not an argument, because other
    processes can read those."""
    token = next(filter(None, map(os.environ.get, tokens)), None)
    if not token or not url.startswith("https://"):
        return {}
    credentials = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{url}.extraHeader",
        "GIT_CONFIG_VALUE_0": f"Authorization: Basic {credentials}",
    }
