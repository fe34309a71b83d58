"""What stands around every peer: SHOUTCLOUD, Cognito and a collector of traces, on the other core."""

import base64
import http.client
import json
import os
import subprocess
import sys
from pathlib import Path

from harness.process import ask
from harness.shoutback import Emulators

from peers import HERE, OTHERS, on, thin


class Setting:
    def __init__(self, directory, stack):
        self.emulators = stack.enter_context(
            Emulators(directory / "emulators.log", on(OTHERS), os.environ["EMULATORS_BIN"])
        )
        upstream = stack.enter_context(thin(["upstream", "127.0.0.1:0"], directory / "upstream.log", OTHERS))
        self.upstream = upstream.address
        self.url = f"http://{self.upstream}/V1/SHOUT"
        script = HERE.parents[1] / "tests/service/exporter/collector.py"
        command = on(OTHERS, sys.executable, script, "good")
        collector = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        # Before it is waited for: its end is that of its input.
        stack.callback(collector.kill)
        self.collector = json.loads(collector.stdout.readline())
        self.issuer = f"{self.emulators.cognito}/{self.emulators.pool_id}"
        self.keys = json.loads(ask("GET", f"{self.issuer}/.well-known/jwks.json")[1])
        self.token = self.emulators.token()
        self.directory = directory

    def tokens(self, count):
        """A file of so many tokens that nobody has seen."""
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
        return self.file("new", tokens)

    def file(self, name, tokens):
        path = Path(self.directory / f"{name}.tokens")
        path.write_text("".join(f"{token}\n" for token in tokens))
        return path


def spoilt(token):
    """The same with another signature."""
    place = len(token) - 100
    other = "A" if token[place] != "A" else "B"
    return token[:place] + other + token[place + 1 :]
