"""Child processes, HTTP requests, and waiting for a condition."""

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

# The environment of children: none of the caller's credentials, proxies or git configuration.
ENVIRONMENT = {"PATH": os.environ["PATH"]} | GIT

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def wait_until(what, condition, within=30.0):
    """Waits until `condition()` is true and returns its result; fails after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {what}")
        time.sleep(0.02)


def http_request(method, url, body=None, headers=None, timeout=10):
    """Returns the status and text of the response, whatever the status. A `body` that is not bytes is sent as JSON."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers or {}, method=method)
    try:
        with _OPENER.open(request, timeout=timeout) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def responds_ok(url):
    """Returns whether a GET of `url` responds with 200."""
    with contextlib.suppress(OSError):
        return http_request("GET", url)[0] == 200
    return False


class Process:
    """A process whose output goes to `log`, a `Path`. It is terminated at the end of the `with` block."""

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

    def output(self):
        return self.log.read_text()

    def until(self, what, condition, within=30.0):
        """Waits until `condition()` is true; fails if the process exits first."""

        def condition_while_running():
            if self.child.poll() is not None:
                raise AssertionError(f"{self.child.args[0]} ended with {self.child.returncode}:\n{self.output()}")
            return condition()

        return wait_until(what, condition_while_running, within)

    def stop(self, within=30.0):
        """Sends SIGTERM and returns the exit code."""
        self.child.terminate()
        return self.child.wait(timeout=within)

    @contextlib.contextmanager
    def starting(self):
        """Terminates the process if an error prevents that its `with` block is reached."""
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
