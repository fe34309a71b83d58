"""The phases of the soak, their faults, and the outcomes that they permit."""

import contextlib
from dataclasses import dataclass

# Errors that a client may get while SHOUTCLOUD is unavailable.
UNAVAILABLE = {"upstream-unavailable", "upstream-timeout", "overloaded"}


@dataclass(frozen=True)
class Phase:
    name: str
    #: The method of `Faults` for the fault of this phase.
    fault: str = ""
    #: Some calls fail; retries hide that.
    some_calls_fail: bool = False
    #: No call succeeds: a 200 comes from the cache or needs no call.
    outage: bool = False


CALM = Phase("calm")
SCHEDULE = [
    CALM,
    Phase("10 % failures", some_calls_fail=True, fault="some_failures"),
    CALM,
    Phase("all calls fail", outage=True, fault="all_failures"),
    CALM,
    Phase("slow (300 ms)", fault="slow"),
    Phase("latency (200 ± 100 ms)", fault="latency"),
    CALM,
    Phase("10 % of connections reset", some_calls_fail=True, fault="resets"),
    CALM,
    Phase("connections refused", outage=True, fault="refused"),
    CALM,
    Phase("half-open", outage=True, fault="half_open"),
    CALM,
    Phase("new signing key", fault="rotation"),
    CALM,
]


class Faults:
    """Each method returns a context manager; the fault lasts as long as its `with` block."""

    def __init__(self, emulators, network, load):
        self.emulators, self.network, self.load = emulators, network, load

    def inject(self, phase):
        return getattr(self, phase.fault)() if phase.fault else contextlib.nullcontext()

    @contextlib.contextmanager
    def behaviour(self, **behaviour):
        self.emulators.behave(**behaviour)
        try:
            yield
        finally:
            self.emulators.behave()

    def some_failures(self):
        return self.behaviour(failure_rate=0.1)

    def all_failures(self):
        return self.behaviour(failure_rate=1.0)

    def slow(self):
        return self.behaviour(delay="300ms")

    def latency(self):
        return self.network.toxic("latency", latency=200, jitter=100)

    def resets(self):
        return self.network.toxic("reset_peer", toxicity=0.1)

    def refused(self):
        return self.network.down()

    def half_open(self):
        return self.network.toxic("timeout", timeout=0)

    @contextlib.contextmanager
    def rotation(self):
        self.emulators.rotate()
        self.load.token = self.emulators.token()
        yield
