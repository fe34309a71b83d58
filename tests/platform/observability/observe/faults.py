"""What goes wrong, in turn, and the alert that is for it."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from harness.load import unique_text, cached_text


@dataclass(frozen=True)
class Fault:
    description: str
    alert: str
    #: A context of the testbed: the fault lasts as long as it.
    inject: Callable


def upstream_behaviour(**behaviour):
    @contextlib.contextmanager
    def on(testbed):
        testbed.emulators.behave(**behaviour)
        try:
            yield
        finally:
            # Ctrl-C reaches the emulators as well, and they may be gone.
            with contextlib.suppress(OSError):
                testbed.emulators.behave()

    return on


def extra_load(rate, request, **behaviour):
    """More requests on each replica, beside how SHOUTCLOUD behaves."""

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
        "SHOUTCLOUD fails. Retries, then the breaker; the cache still serves",
        "ShoutbackAvailabilityBurnFast",
        upstream_behaviour(failure_rate=1.0),
    ),
    Fault(
        "SHOUTCLOUD takes 1.5 s for each call, and most texts are new",
        "ShoutbackLatencyBurnFast",
        extra_load(100, unique_text, delay="1500ms"),
    ),
    Fault(
        "a consumer has a loop, and its quota is used up",
        "ShoutbackClientQuotaExhausted",
        extra_load(250, cached_text),
    ),
]
