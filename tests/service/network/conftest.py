"""Fixtures: Toxiproxy, the emulators, and instances of the service with network faults on either side."""

import contextlib
import itertools
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from harness.shoutback import Emulators, Shoutback
from harness.toxiproxy import Toxiproxy

# Short enough for tests, long enough for a healthy attempt on a busy machine. BREAKER_MIN_CALLS disables the breaker except in its own
# tests.
VARIABLES = {
    "SHOUTCLOUD_ATTEMPT_TIMEOUT": "500ms",
    "SHOUTCLOUD_DEADLINE": "5s",
    "SHOUTCLOUD_MAX_RETRIES": "3",
    "BREAKER_SLOW_CALL": "500ms",
    "BREAKER_MIN_CALLS": "10000",
}

ATTEMPTS = 4


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
def network(toxiproxy, shoutcloud):
    """Returns the proxy between the service and SHOUTCLOUD."""
    return toxiproxy.proxy(shoutcloud.shoutcloud)


@pytest.fixture
def start(network, tmp_path):
    """`start(**variables)` starts an instance whose SHOUTCLOUD is behind `network`."""
    with contextlib.ExitStack() as instances:

        def start(**variables):
            url = f"http://{network.address}/V1/SHOUT"
            variables = VARIABLES | {"SHOUTCLOUD_URL": url} | variables
            return instances.enter_context(Shoutback(tmp_path / "log", **variables))

        yield start


@pytest.fixture
def shoutback(start):
    return start()


class Caller:
    """A client that sends unique texts, which are not in the cache."""

    def __init__(self):
        self.numbers = itertools.count()
        self.http = httpx.Client(trust_env=False, timeout=30, limits=httpx.Limits(max_connections=None))

    def shout(self, shoutback, size=0):
        """Sends a text of about `size` characters. Returns the response after checking it."""
        text = f"text number {next(self.numbers)}" + "." * size
        response = self.http.post(shoutback.url, json={"data": text})
        if response.status_code == 200:
            assert response.json() == {"data": text[::-1].upper()}
        else:
            assert response.headers["content-type"] == "application/problem+json"
        assert response.headers["x-request-id"]
        return response

    def shout_many(self, shoutback, count, workers):
        """Sends `count` requests, `workers` at a time. Returns the responses."""
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(lambda _: self.shout(shoutback), range(count)))


@pytest.fixture
def caller():
    caller = Caller()
    yield caller
    caller.http.close()
