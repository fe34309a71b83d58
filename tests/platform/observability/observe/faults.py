"""What goes wrong, in turn, and the alert that is for it."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from harness.load import new, usual


@dataclass(frozen=True)
class Fault:
    tells: str
    alert: str
    #: A context of the stage: the fault lasts as long as it.
    on: Callable


def behaving(**behaviour):
    @contextlib.contextmanager
    def on(stage):
        stage.emulators.behave(**behaviour)
        try:
            yield
        finally:
            # Ctrl-C reaches the emulators as well, and they may be gone.
            with contextlib.suppress(OSError):
                stage.emulators.behave()

    return on


def asking(a_second, request, **behaviour):
    """More requests on each replica, beside how SHOUTCLOUD behaves."""

    @contextlib.contextmanager
    def on(stage):
        with behaving(**behaviour)(stage):
            more = [stage.load.on(replica.address, a_second, request(stage.token)) for replica in stage.replicas]
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
        behaving(failure_rate=1.0),
    ),
    Fault(
        "SHOUTCLOUD takes 1.5 s for each call, and most texts are new",
        "ShoutbackLatencyBurnFast",
        asking(100, new, delay="1500ms"),
    ),
    Fault(
        "a consumer has a loop, and its quota is used up",
        "ShoutbackClientQuotaExhausted",
        asking(250, usual),
    ),
]
