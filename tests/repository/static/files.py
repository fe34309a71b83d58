"""Lists the files of the checkout and runs linters on them."""

import functools
import subprocess
from pathlib import Path

from harness.git import listed

TOP = Path(__file__).resolve().parents[3]
HERE = Path(__file__).resolve().parent


@functools.cache
def files():
    """Returns the names of all files, including untracked ones, except symbolic links."""
    return [name for name in sorted(listed(TOP)) if (TOP / name).is_file() and not (TOP / name).is_symlink()]


def ending(*suffixes):
    return [name for name in files() if name.endswith(suffixes)]


@functools.cache
def interpreter(name):
    """Returns the program that a script's shebang names, or None."""
    with (TOP / name).open("rb") as file:
        if file.read(2) != b"#!":
            return None
        words = file.readline().decode(errors="replace").split()
    # `#![…]` is an attribute in Rust.
    if not words or not words[0].startswith("/"):
        return None
    return (words[1] if words[0].endswith("/env") else words[0]).rpartition("/")[2]


def run(program, *arguments, directory=TOP):
    """Returns a linter's findings, or an empty string."""
    done = subprocess.run([program, *map(str, arguments)], cwd=directory, capture_output=True, text=True)
    findings = done.stdout + done.stderr
    assert done.returncode == 0 or findings, f"{program} exited with {done.returncode} without output"
    return findings if done.returncode else ""
