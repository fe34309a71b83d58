"""What the programs of this folder share: errors, logging, git, and the arguments that several of them take."""

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
    """What went wrong, for a person."""


def log(text):
    print(text, file=sys.stderr, flush=True)


def run(main):
    """Exits as `main` says: 0 for what it prints, 1 for a Failure. argparse exits with 2."""
    try:
        printed = main()
    except Failure as failure:
        log(f"error: {failure}")
        sys.exit(1)
    if printed:
        print(printed)


def parser(description):
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def matching(pattern, what):
    """A type of argument."""

    def check(text):
        if not pattern.fullmatch(text):
            raise argparse.ArgumentTypeError(f"{text!r} is no {what}")
        return text

    return check


def environment(arguments):
    arguments.add_argument("environment", metavar="ENVIRONMENT", choices=ENVIRONMENTS, help="staging or production")


def sha(arguments, name, what):
    arguments.add_argument(name.lower(), metavar=name, type=matching(SHA, "full commit SHA"), help=what)


def digest(arguments):
    arguments.add_argument("digest", metavar="DIGEST", type=matching(DIGEST, "sha256 digest"), help="sha256:…")


def git(*arguments, directory=None, variables=None, succeeds=True):
    """What git printed; with `succeeds=False` the finished process."""
    # A hook or an alias that calls us has set these for another repository.
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


def access(url, *tokens):
    """Variables by which git gets through to `url` with the first of these variables' tokens that is set. In no argument, since those
    can be seen by every process."""
    token = next(filter(None, map(os.environ.get, tokens)), None)
    if not token or not url.startswith("https://"):
        return {}
    credentials = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{url}.extraHeader",
        "GIT_CONFIG_VALUE_0": f"Authorization: Basic {credentials}",
    }
