"""Fixtures: servers, Toxiproxy, the emulators, and replicas of the service that share state."""

import contextlib
import itertools
import json

import pytest

from harness.shoutback import Emulators, Shoutback
from harness.toxiproxy import Toxiproxy
from harness.valkey import Server

# A busy machine may stop a process for longer than the default of 20 ms; the tests of timeouts set their own.
VARIABLES = {"VALKEY_TIMEOUT": "1s", "SHOUTCLOUD_MAX_RETRIES": "0", "BREAKER_MIN_CALLS": "10000"}


class Replica(Shoutback):
    def is_up(self):
        return self.metric("shoutback_valkey_up") == 1

    def sees(self, replicas):
        return self.metric("shoutback_valkey_replicas") == replicas

    def until_up(self, within=60):
        self.until("it uses Valkey", self.is_up, within)

    def until_down(self, within=60):
        self.until("it does without Valkey", lambda: not self.is_up(), within)

    def changes(self):
        """Returns the outcomes of the log lines about Valkey: each is a change of state."""
        lines = [json.loads(line) for line in self.output().splitlines() if line.startswith("{")]
        return [line["event.outcome"] for line in lines if line.get("event.action") == "valkey"]


@pytest.fixture(scope="session")
def toxiproxy(tmp_path_factory):
    with Toxiproxy(tmp_path_factory.mktemp("toxiproxy") / "log") as toxiproxy:
        yield toxiproxy


@pytest.fixture(scope="session")
def emulators(tmp_path_factory):
    with Emulators(tmp_path_factory.mktemp("emulators") / "log") as emulators:
        yield emulators


@pytest.fixture
def shoutcloud(emulators):
    """Yields the emulators, with SHOUTCLOUD healthy."""
    emulators.behave()
    yield emulators
    emulators.behave()


@pytest.fixture
def valkey(tmp_path):
    with Server(tmp_path / "valkey") as server:
        yield server


@pytest.fixture
def start(shoutcloud, tmp_path):
    """`start(url, **variables)` starts a replica, and waits until it uses the Valkey at this URL, unless `up` is false."""
    numbers = itertools.count()
    with contextlib.ExitStack() as instances:

        def start(url, up=True, **variables):
            shoutcloud_url = f"http://{shoutcloud.shoutcloud}/V1/SHOUT"
            variables = VARIABLES | {"SHOUTCLOUD_URL": shoutcloud_url, "VALKEY_URL": url} | variables
            replica = instances.enter_context(Replica(tmp_path / f"replica-{next(numbers)}.log", **variables))
            if up:
                replica.until_up()
            return replica

        yield start


@pytest.fixture
def start_replicas(start):
    """`start_replicas(url, count, **variables)` starts replicas that know each other."""

    def start_replicas(url, count=3, **variables):
        replicas = [start(url, **variables) for _ in range(count)]
        for replica in replicas:
            replica.until("it sees the others", lambda replica=replica: replica.sees(count))
        return replicas

    return start_replicas
