"""The scenarios of the drill, by the letters of solutions.toml, which has their causes and the queries that identify them."""

import contextlib
import resource
import threading
import tomllib
from dataclasses import dataclass
from pathlib import Path

from testbed import SPEED, Testbed

from harness.load import unique_text, cached_text, with_unknown_kid
from harness.rules import faster
from harness.shoutback import Shoutback
from harness.toxiproxy import Toxiproxy, free_port
from harness.valkey import Server

# A minute of a query takes five seconds: ten scrapes, so that a rate survives a late one.
QUERIES_FASTER = 12


@dataclass(frozen=True)
class Scenario:
    letter: str
    cause: str
    query: str
    alert: str

    @property
    def faster_query(self):
        return faster(self.query, QUERIES_FASTER)


SCENARIOS = [Scenario(**row) for row in tomllib.loads(Path(__file__).with_name("solutions.toml").read_text())["solution"]]


class DrillTestbed(Testbed):
    """The testbed with Toxiproxy between the replicas and their dependencies."""

    # So that exceeding the file size limit is an error instead of a signal.
    through = ("env", "--ignore-signal=XFSZ")

    def __init__(self, stack, directory, speed=SPEED):
        self.stack, self.directory = stack, directory
        super().__init__(stack, directory, speed)

    def start_dependencies(self, stack, directory):
        self.toxiproxy = stack.enter_context(Toxiproxy(directory / "toxiproxy.log"))
        self.shoutcloud = self.toxiproxy.proxy(self.emulators.shoutcloud)
        self.keys = self.toxiproxy.proxy(self.emulators.cognito.removeprefix("http://"))
        self.valkey = self.toxiproxy.proxy(stack.enter_context(Server(directory / "valkey")).address)
        return {
            # Both replicas together. The usual load needs at most 80, so that a client in a loop exceeds it on a busy machine, too.
            "RATE_LIMIT_PER_CLIENT": "120/s",
            "RATE_LIMIT_BURST": "120",
            "VALKEY_URL": f"redis://{self.valkey.address}",
            "SHOUTCLOUD_URL": f"http://{self.shoutcloud.address}/V1/SHOUT",
            "COGNITO_JWKS_ENDPOINT": f"http://{self.keys.address}",
        }

    def until_alerts_can_fire(self):
        """Waits for the history that alerts compare with: half an hour of requests, at this speed."""
        history = "quantile_over_time(0.1, job_environment:shoutback_requests:rate5m[6h] offset 30m) > 0.05"
        accepted = "min_over_time(job_environment:shoutback_accepted:rate5m[30m]) > 0"
        for query in (history, accepted):
            self.prometheus.until("there is enough history", lambda: self.prometheus.query(faster(query, self.speed)), within=120)

    def inject(self, letter):
        """Returns a context manager that injects the fault of that letter."""
        return getattr(self, f"_{letter}")()

    @contextlib.contextmanager
    def _upstream_behaviour(self, **behaviour):
        self.emulators.behave(**behaviour)
        try:
            yield
        finally:
            # Ctrl-C reaches the emulators as well, so they may have exited.
            with contextlib.suppress(OSError):
                self.emulators.behave()

    @contextlib.contextmanager
    def _extra_load(self, rate, request, timeout=None):
        more = [self.load.start(replica.address, rate, request, timeout=timeout) for replica in self.replicas]
        try:
            yield
        finally:
            for stream in more:
                stream.pause()

    def _a(self):
        return self._upstream_behaviour(failure_rate=1.0)

    @contextlib.contextmanager
    def _instead_of_the_load(self):
        for stream in self.streams:
            stream.pause()
        try:
            yield
        finally:
            for stream in self.streams:
                stream.resume()

    def _restart(self, **variables):
        """Kills the second replica and starts it again at the same addresses."""
        killed = self.replicas[1]
        killed.child.kill()
        killed.child.wait()
        variables = {**self.variables, "HTTP_ADDR": killed.address, "ADMIN_ADDR": killed.admin, **variables}
        self.replicas[1] = self.stack.enter_context(Shoutback(killed.log, self.through, **variables))

    @contextlib.contextmanager
    def _with_other_configuration(self, **variables):
        self._restart(**variables)
        try:
            yield
        finally:
            self._restart()

    @contextlib.contextmanager
    def _b(self):
        """Most texts are new: what comes from the cache would be fast."""
        with self._upstream_behaviour(delay="1500ms"), self._extra_load(20, unique_text(self.token)):
            yield

    def _c(self):
        return self.shoutcloud.down()

    def _d(self):
        return self.shoutcloud.toxic("timeout", timeout=0)

    @contextlib.contextmanager
    def _e(self):
        """SHOUTCLOUD's address leads to Cognito, which has no such path."""
        self.shoutcloud.set_upstream(self.emulators.cognito.removeprefix("http://"))
        try:
            yield
        finally:
            self.shoutcloud.set_upstream(self.emulators.shoutcloud)

    def _f(self):
        return self._extra_load(250, cached_text(self.token))

    @contextlib.contextmanager
    def _g(self):
        with self._instead_of_the_load(), self._extra_load(20, unique_text(with_unknown_kid(self.token))):
            yield

    def _h(self):
        return self.keys.down()

    @contextlib.contextmanager
    def _i(self):
        killed = self.replicas[1]
        killed.child.kill()
        killed.child.wait()
        try:
            yield
        finally:
            self._restart()

    def _j(self):
        return self._instead_of_the_load()

    @contextlib.contextmanager
    def _k(self):
        """The replicas' files may not grow: a write fails as on a full disk."""
        for replica in self.replicas:
            resource.prlimit(replica.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        try:
            yield
        finally:
            for replica in self.replicas:
                with contextlib.suppress(ProcessLookupError):
                    resource.prlimit(replica.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    @contextlib.contextmanager
    def _l(self):
        with self._upstream_behaviour(delay="1800ms"), self._instead_of_the_load(), self._extra_load(20, unique_text(self.token), timeout=1):
            yield

    @contextlib.contextmanager
    def _m(self):
        closed = f"http://127.0.0.1:{free_port()}/V1/SHOUT"
        with self._with_other_configuration(SHOUTCLOUD_URL=closed), self._extra_load(20, unique_text(self.token)):
            yield

    def _n(self):
        return self._with_other_configuration(COGNITO_CLIENT_IDS="another")

    @contextlib.contextmanager
    def _o(self):
        ended = threading.Event()

        def kill():
            while not ended.wait(1.5):
                self._restart()

        thread = threading.Thread(target=kill)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _p(self):
        return self.valkey.down()
