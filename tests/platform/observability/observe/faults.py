"""The faults that `make observe` injects in turn, each with its alert."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from harness.load import unique_text, cached_text


@dataclass(frozen=True)
class Fault:
    description: str
    alert: str
    #: Returns a context manager for a testbed; the fault lasts as long as its `with` block.
    inject: Callable


def upstream_behaviour(**behaviour):
    @contextlib.contextmanager
    def on(testbed):
        testbed.emulators.behave(**behaviour)
        try:
            yield
        finally:
            # Ctrl-C reaches the emulators as well, so they may have exited.
            with contextlib.suppress(OSError):
                testbed.emulators.behave()

    return on


def extra_load(rate, request, **behaviour):
    """Adds load to each replica, and sets the behaviour of SHOUTCLOUD."""

    @contextlib.contextmanager
    def on(testbed):
        with upstream_behaviour(**behaviour)(testbed):
            more = [testbed.load.start(replica.address, rate, request(testbed.token)) for replica in testbed.replicas]
            try:
                yield
            finally:
                for stream in more:
                    stream.pause()

    return on


FAULTS = [
    Fault(
        "SHOUTCLOUD fails: retries, then the breaker; the cache still serves",
        "ShoutbackAvailabilityBurnFast",
        upstream_behaviour(failure_rate=1.0),
    ),
    Fault(
        "SHOUTCLOUD takes 1.5 s for each call, and most texts are new",
        "ShoutbackLatencyBurnFast",
        extra_load(100, unique_text, delay="1500ms"),
    ),
    Fault(
        "a client in a loop exhausts its quota",
        "ShoutbackClientQuotaExhausted",
        extra_load(250, cached_text),
    ),
]
