"""Runs the service, and the emulators of `shoutback dev`."""

import base64
import json
import os
import re
from pathlib import Path

from .process import Process, responds_ok, http_request


def binary():
    try:
        return os.environ["SHOUTBACK_BIN"]
    except KeyError:
        raise SystemExit("SHOUTBACK_BIN must name the binary; scripts/test builds it and sets this") from None


# Defaults under a test's variables: free ports, no authentication, immediate shutdown.
DEFAULTS = {
    "HTTP_ADDR": "127.0.0.1:0",
    "ADMIN_ADDR": "127.0.0.1:0",
    "AUTH_MODE": "disabled",
    "RATE_LIMIT_PER_CLIENT": "off",
    "SHUTDOWN_GRACE": "0ms",
}


class Shoutback(Process):
    """An instance; the constructor returns when it is ready. `variables` override DEFAULTS; `through` is a command that executes it,
    such as `env` with options."""

    def __init__(self, log, through=(), **variables):
        self.run([*through, binary(), "serve"], log, DEFAULTS | variables)

    def run(self, command, log, variables, ready=True):
        super().__init__(command, log, variables)
        with self.starting():
            started = self.until("it listens", self._started)
            self.address, self.admin = started["shoutback.http_addr"], started["shoutback.admin_addr"]
            self.port = int(self.address.rpartition(":")[2])
            self.until("it is ready" if ready else "it is live", self.is_ready if ready else self.is_live)

    def _started(self):
        for line in self.output().splitlines(keepends=True):
            if '"message":"listening"' in line and line.endswith("\n"):
                return json.loads(line)
        return None

    @property
    def url(self):
        return f"http://{self.address}/v1"

    def is_ready(self):
        return responds_ok(f"http://{self.admin}/readyz")

    def is_live(self):
        return responds_ok(f"http://{self.admin}/livez")

    def metric(self, name, **labels):
        """Returns the sum of the series `name` with these labels. Fails if there is none, so that a typo cannot pass a test."""
        status, text = http_request("GET", f"http://{self.admin}/metrics")
        assert status == 200, text
        return metric(text, name, **labels)

    def active_requests(self):
        return self.metric("http_server_active_requests")

    def status(self, field):
        """Returns a field of /proc/PID/status in KiB, such as VmRSS or VmHWM."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"^{field}:\s+(\d+) kB$", text, re.M).group(1))

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def holds_connection_from(self, port):
        """Returns whether the process, not only the kernel, has a connection from this local port."""
        expected = [f"0100007F:{self.port:04X}", f"0100007F:{port:04X}"]
        for line in Path(f"/proc/{self.pid}/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1:3] == expected:
                inode = fields[9]
                return inode != "0"
        return False


def metric(text, name, **labels):
    """Does the same as `Shoutback.metric` for a scraped text."""
    expected = [f'{label}="{value}"' for label, value in labels.items()]
    values = []
    for line in text.splitlines():
        series, _, value = line.rpartition(" ")
        if series.partition("{")[0] == name and all(part in series for part in expected):
            values.append(float(value))
    assert values, f"there is no series {name} with {expected}"
    return sum(values)


class Emulators(Process):
    """`shoutback dev`: emulators of SHOUTCLOUD and Cognito, with a service at `public`. `variables` are that service's environment.
    `through` is a command that executes it; `program` replaces the binary under test."""

    def __init__(self, log, through=(), program=None, **variables):
        command = [*through, program or binary(), "dev", "--shoutcloud-addr", "127.0.0.1:0", "--cognito-addr", "127.0.0.1:0"]
        super().__init__(command, log, {"HTTP_ADDR": "127.0.0.1:0", "ADMIN_ADDR": "127.0.0.1:0"} | variables)
        with self.starting():
            printed = self.until("it prints its lines", lambda: re.search(r"\nService .*failure_rate\":0,\S*\}'\n", self.output(), re.S))[0]
        self.public = self.service = re.search(r"^Service +(\S+)$", printed, re.M)[1]
        self.shoutcloud = re.search(r"^SHOUTCLOUD +http://(\S+)/V1/SHOUT", printed, re.M)[1]
        self.cognito, self.pool_id = re.search(r"^Cognito +(\S+)/(\S+)", printed, re.M).groups()
        self.client_id, self.secret = re.search(r"CLIENT_ID=(\w+) CLIENT_SECRET=(\w+)$", printed, re.M).groups()

    def authentication(self):
        """Returns the variables with which the service accepts this Cognito's tokens."""
        return {
            "AUTH_MODE": "cognito",
            "COGNITO_USER_POOL_IDS": self.pool_id,
            "COGNITO_CLIENT_IDS": self.client_id,
            "COGNITO_ENDPOINT": self.cognito,
        }

    def token(self):
        """Returns a new access token."""
        credentials = base64.b64encode(f"{self.client_id}:{self.secret}".encode()).decode()
        headers = {
            "authorization": f"Basic {credentials}",
            "content-type": "application/x-www-form-urlencoded",
        }
        status, text = http_request("POST", f"{self.cognito}/oauth2/token", b"grant_type=client_credentials", headers)
        assert status == 200, text
        return json.loads(text)["access_token"]

    def rotate(self):
        """Rotates the signing key; the old one stays published."""
        status, text = http_request("POST", f"{self.cognito}/_emulator/rotate")
        assert status == 200, text

    def behave(self, delay="0s", failure_rate=0.0):
        """Sets the behaviour of SHOUTCLOUD."""
        url = f"http://{self.shoutcloud}/_emulator/behaviour"
        status, text = http_request("PUT", url, {"delay": delay, "failure_rate": failure_rate})
        assert status == 200, text

    def calls(self):
        """Returns the number of requests that have arrived at SHOUTCLOUD."""
        status, text = http_request("GET", f"http://{self.shoutcloud}/_emulator/behaviour")
        assert status == 200, text
        return json.loads(text)["calls"]
