"""The dependencies of every peer, on other cores than the peer's: SHOUTCLOUD, Cognito and an OTLP collector."""

import base64
import http.client
import json
import os
import subprocess
import sys
from pathlib import Path

from harness.process import http_request
from harness.shoutback import Emulators

from peers import COLLECTOR_CORE, HERE, OTHER_CORE, UPSTREAM_CORE, pinned, thin


class Environment:
    def __init__(self, directory, stack):
        self.emulators = stack.enter_context(
            Emulators(directory / "emulators.log", pinned(OTHER_CORE), os.environ["EMULATORS_BIN"])
        )
        upstream = stack.enter_context(thin(["upstream", "127.0.0.1:0"], directory / "upstream.log", UPSTREAM_CORE))
        self.upstream = upstream.address
        self.url = f"http://{self.upstream}/V1/SHOUT"
        script = HERE.parents[1] / "tests/service/exporter/collector.py"
        command = pinned(COLLECTOR_CORE, sys.executable, script, "good")
        collector = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        # Called before Popen's own exit, which waits: the collector exits only at the end of its input.
        stack.callback(collector.kill)
        self.collector = json.loads(collector.stdout.readline())
        self.issuer = f"{self.emulators.cognito}/{self.emulators.pool_id}"
        self.keys = json.loads(http_request("GET", f"{self.issuer}/.well-known/jwks.json")[1])
        self.token = self.emulators.token()
        self.directory, self.issued = directory, {}

    def tokens(self, count):
        """Returns a file with `count` tokens, which are issued at the first call."""
        if count in self.issued:
            return self.issued[count]
        credentials = base64.b64encode(f"{self.emulators.client_id}:{self.emulators.secret}".encode()).decode()
        headers = {
            "authorization": f"Basic {credentials}",
            "content-type": "application/x-www-form-urlencoded",
        }
        connection = http.client.HTTPConnection(self.emulators.cognito.removeprefix("http://"))
        tokens = []
        for _ in range(count):
            connection.request("POST", "/oauth2/token", b"grant_type=client_credentials", headers)
            tokens.append(json.loads(connection.getresponse().read())["access_token"])
        self.issued[count] = self.file(f"new-{count}", tokens)
        return self.issued[count]

    def file(self, name, tokens):
        path = Path(self.directory / f"{name}.tokens")
        path.write_text("".join(f"{token}\n" for token in tokens))
        return path


def tampered(token):
    """Returns the token with a changed signature."""
    index = len(token) - 100
    other = "A" if token[index] != "A" else "B"
    return token[:index] + other + token[index + 1 :]
