"""Child processes, and waiting for a condition."""

import contextlib
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

# A file, because GIT_CONFIG_COUNT would not do: git clears it for the other repository of a clone, a fetch or a push.
GIT = {"GIT_CONFIG_GLOBAL": str(Path(__file__).resolve().with_name("gitconfig")), "GIT_CONFIG_SYSTEM": os.devnull}

# What a child inherits: nothing of the caller's, neither credentials nor proxies nor git's configuration.
ENVIRONMENT = {"PATH": os.environ["PATH"]} | GIT

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def wait_until(what, holds, within=30.0):
    """What `holds()` returns, as soon as that is true; an error if time runs out."""
    deadline = time.monotonic() + within
    while True:
        held = holds()
        if held:
            return held
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {what}")
        time.sleep(0.02)


def ask(method, url, body=None, headers=None, timeout=10):
    """The answer's status and text, whatever the status. A `body` that is not bytes is sent as JSON."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers or {}, method=method)
    try:
        with _OPENER.open(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def answers(url):
    """Whether a GET of `url` is answered with 200."""
    with contextlib.suppress(OSError):
        return ask("GET", url)[0] == 200
    return False


class Process:
    """A process whose output goes to `log`, a `Path`. It is ended with the `with` block."""

    def __init__(self, command, log, variables=None):
        self.log = log
        with log.open("wb") as output:
            self.child = subprocess.Popen(
                [str(part) for part in command],
                env=ENVIRONMENT | (variables or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def pid(self):
        return self.child.pid

    def printed(self):
        return self.log.read_text()

    def until(self, what, holds, within=30.0):
        """Waits for `holds()`, but no longer than the process lives."""

        def held():
            if self.child.poll() is not None:
                raise AssertionError(f"{self.child.args[0]} ended with {self.child.returncode}:\n{self.printed()}")
            return holds()

        return wait_until(what, held, within)

    def stop(self, within=30.0):
        """SIGTERM; the exit code."""
        self.child.terminate()
        return self.child.wait(timeout=within)

    @contextlib.contextmanager
    def starting(self):
        """Ends the process if it does not get as far as its `with` block."""
        try:
            yield
        except BaseException:
            self.end()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        if self.child.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
