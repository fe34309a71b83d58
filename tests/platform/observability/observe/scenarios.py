"""What the drill breaks, by the letters of docs/drill.md, which has their names and the queries that tell them apart."""

import contextlib
import re
import resource
from dataclasses import dataclass
from pathlib import Path

from testbed import SPEED, Testbed

from harness.load import unique_text, cached_text, with_unknown_kid
from harness.rules import faster
from harness.shoutback import Shoutback
from harness.toxiproxy import Toxiproxy

PAGE = Path(__file__).parents[4] / "docs/drill.md"
ROW = re.compile(r"^\| (?P<letter>[a-z]) \| (?P<cause>.+?) \| `(?P<query>.+?)` \| \[(?P<alert>\w+)\]\((?P<section>\S+)\) \|$", re.MULTILINE)

# A minute of the page's in five seconds: ten scrapes, so that a rate lives through one that is late.
QUERIES_FASTER = 12


@dataclass(frozen=True)
class Scenario:
    letter: str
    cause: str
    query: str
    alert: str
    section: str

    @property
    def faster_query(self):
        return faster(self.query, QUERIES_FASTER)


SCENARIOS = [Scenario(**row.groupdict()) for row in ROW.finditer(PAGE.read_text())]


class DrillTestbed(Testbed):
    """The testbed, with a network between the replicas and what they call."""

    # So that a disk that is full is an error like any other.
    through = ("env", "--ignore-signal=XFSZ")

    def __init__(self, stack, directory, speed=SPEED):
        self.stack, self.directory = stack, directory
        super().__init__(stack, directory, speed)

    def peers(self, stack, directory):
        self.toxiproxy = stack.enter_context(Toxiproxy(directory / "toxiproxy.log"))
        self.shoutcloud = self.toxiproxy.proxy(self.emulators.shoutcloud)
        self.keys = self.toxiproxy.proxy(self.emulators.cognito.removeprefix("http://"))
        return {
            # Nobody needs more than 40 here, so that a loop is above it on a busy machine too.
            "RATE_LIMIT_PER_CLIENT": "60/s",
            "RATE_LIMIT_BURST": "60",
            "SHOUTCLOUD_URL": f"http://{self.shoutcloud.address}/V1/SHOUT",
            "COGNITO_JWKS_ENDPOINT": f"http://{self.keys.address}",
        }

    def broken(self, letter):
        """A context in which that is broken."""
        return getattr(self, f"_{letter}")()

    @contextlib.contextmanager
    def _upstream_behaviour(self, **behaviour):
        self.emulators.behave(**behaviour)
        try:
            yield
        finally:
            # Ctrl-C reaches the emulators as well, and they may be gone.
            with contextlib.suppress(OSError):
                self.emulators.behave()

    @contextlib.contextmanager
    def _extra_load(self, rate, request):
        more = [self.load.start(replica.address, rate, request) for replica in self.replicas]
        try:
            yield
        finally:
            for stream in more:
                stream.pause()

    def _a(self):
        return self._upstream_behaviour(failure_rate=1.0)

    def _b(self):
        return self._upstream_behaviour(delay="1500ms")

    def _c(self):
        return self.shoutcloud.down()

    def _d(self):
        return self.shoutcloud.toxic("timeout", timeout=0)

    @contextlib.contextmanager
    def _e(self):
        """Cognito, which knows no such path."""
        self.shoutcloud.set_upstream(self.emulators.cognito.removeprefix("http://"))
        try:
            yield
        finally:
            self.shoutcloud.set_upstream(self.emulators.shoutcloud)

    def _f(self):
        return self._extra_load(250, cached_text(self.token))

    @contextlib.contextmanager
    def _g(self):
        for stream in self.streams:
            stream.pause()
        try:
            with self._extra_load(20, unique_text(with_unknown_kid(self.token))):
                yield
        finally:
            for stream in self.streams:
                stream.resume()

    def _h(self):
        return self.keys.down()

    @contextlib.contextmanager
    def _i(self):
        gone = self.replicas[1]
        gone.child.kill()
        gone.child.wait()
        try:
            yield
        finally:
            again = {**self.variables, "HTTP_ADDR": gone.address, "ADMIN_ADDR": gone.admin}
            self.replicas[1] = self.stack.enter_context(Shoutback(self.directory / "two-again.log", self.through, **again))

    @contextlib.contextmanager
    def _j(self):
        for stream in self.streams:
            stream.pause()
        try:
            yield
        finally:
            for stream in self.streams:
                stream.resume()

    @contextlib.contextmanager
    def _k(self):
        """No file of a replica's may grow: a write meets this limit as it meets the end of a disk."""
        for replica in self.replicas:
            resource.prlimit(replica.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        try:
            yield
        finally:
            for replica in self.replicas:
                with contextlib.suppress(ProcessLookupError):
                    resource.prlimit(replica.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
