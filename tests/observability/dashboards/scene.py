"""Two replicas in production and one in staging, to which all happens within seconds that a dashboard has a panel for."""

import shutil
import socket
import time

from harness.load import empty, new, text_that, usual, with_an_unknown_key
from harness.process import ask
from harness.prometheus import Target
from harness.shoutback import Shoutback
from harness.toxiproxy import free_port

PRODUCTION, STAGING = "production", "staging"

# Faults last for a second or two: what the service remembers of them, and how long it waits, is in proportion.
VARIABLES = {
    "SHOUTCLOUD_ATTEMPT_TIMEOUT": "1s",
    "SHOUTCLOUD_DEADLINE": "3s",
    "SHOUTCLOUD_MAX_CONCURRENCY": "8",
    "SHOUTCLOUD_MAX_QUEUE": "4",
    "BREAKER_WINDOW": "2s",
    "BREAKER_SLOW_CALL": "1s",
    "BREAKER_OPEN_FOR": "500ms",
    "CACHE_TTL": "1s",
    "RATE_LIMIT_PER_CLIENT": "60/s",
    "RATE_LIMIT_BURST": "60",
    "OTEL_BSP_SCHEDULE_DELAY": "200",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "500",
}


class Scene:
    def __init__(self, stack, directory, emulators, toxiproxy, load):
        self.stack, self.directory, self.emulators, self.load = stack, directory, emulators, load
        self.targets = []
        self.network = toxiproxy.proxy(emulators.shoutcloud)
        self.keys = toxiproxy.proxy(emulators.cognito.removeprefix("http://"))
        self.token = emulators.token()
        authentication = emulators.authentication() | {"COGNITO_JWKS_ENDPOINT": f"http://{self.keys.address}"}
        # Nobody listens there.
        collector = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
        self.logs = directory / "logs"
        self.logs.mkdir()
        self.replicas = [
            self.start(PRODUCTION, name, **authentication, **collector, LOG_FILE=str(self.logs / name))
            for name in ("one", "two")
        ]
        self.staging = self.start(STAGING, "alone", SHOUTCLOUD_FALLBACK="local")

    def start(self, environment, instance, **variables):
        variables = VARIABLES | {"SHOUTCLOUD_URL": f"http://{self.network.address}/V1/SHOUT"} | variables
        shoutback = self.stack.enter_context(Shoutback(self.directory / f"{instance}.log", **variables))
        self.targets.append(Target(shoutback.admin, {"environment": environment, "instance": instance}))
        return shoutback

    def play(self):
        """About ten seconds. Requests go on afterwards."""
        texts = [new(self.token), usual(self.token), usual(self.token), new(self.token), empty(self.token)]
        refused = [usual(), usual("no.token.atall"), unreadable(self.token)]
        self.streams = [self.load.on(replica.address, 25, *texts, *refused) for replica in self.replicas]
        self.load.on(self.staging.address, 10, new(), usual())
        # Their log file can neither be written on nor be made anew.
        shutil.rmtree(self.logs)
        time.sleep(2)

        # No answer to new texts, a stale one to the usual; retries until their budget is spent, and the breaker.
        self.emulators.behave(failure_rate=1.0)
        time.sleep(2)
        self.emulators.behave()
        time.sleep(1.5)

        # More come than may, for longer than there is between two scrapes.
        self.emulators.behave(delay="400ms")
        self.burst(20, usual(self.token))
        self.hang_up()
        for _ in range(5):
            self.burst(20, new(self.token))
            time.sleep(0.25)
        self.look_around()

        # Calls hang beyond an attempt's time.
        self.emulators.behave(delay="1200ms")
        time.sleep(1.5)
        self.emulators.behave()

        # A key that nobody knows, while the key set cannot be had.
        with self.keys.down():
            self.burst(5, usual(with_an_unknown_key(self.token)))
            time.sleep(0.7)
        # Beyond the quota.
        self.burst(150, usual(self.token))
        time.sleep(1.5)

    def burst(self, count, request):
        for stream in self.streams:
            stream.burst(count, request)

    def hang_up(self):
        """Requests whose callers leave before the answer."""
        headers, body = text_that("for nobody", self.token)
        for number in range(8):
            for replica in self.replicas:
                head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                length = len(body) + number
                head = f"POST /v1 HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{head}\r\n"
                with socket.create_connection((replica.address.split(":")[0], replica.port)) as connection:
                    connection.sendall(head.encode() + body.replace(b"nobody", b"nobody" + b"." * number))
                    time.sleep(0.02)

    def look_around(self):
        for path in ("/docs", "/openapi.json", "/wp-login.php"):
            ask("GET", f"http://{self.replicas[0].address}{path}")


def unreadable(token):
    """A request whose body is no JSON."""
    return lambda: (text_that("", token)[0], b"{")
