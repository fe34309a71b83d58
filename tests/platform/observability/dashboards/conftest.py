"""Fixtures: the real Prometheus with metrics for every panel."""

import contextlib
import math

import pytest
from traffic import Traffic

from harness.load import Load
from harness.prometheus import Prometheus
from harness.rules import write_faster
from harness.shoutback import Emulators
from harness.toxiproxy import Toxiproxy

# An alert that fires after two minutes fires after one second.
SCALE = 120
INTERVAL = 0.5


class Recorded:
    """The metrics that Prometheus has recorded."""

    def __init__(self, traffic, prometheus, start, end):
        self.traffic, self.prometheus, self.end = traffic, prometheus, end
        # A number of steps before the end, which is included.
        self.start = end - math.ceil((end - start) / INTERVAL) * INTERVAL

    def over_time(self, expression):
        return self.prometheus.query_range(expression, self.start, self.end, INTERVAL)

    def at_the_end(self, expression):
        return self.prometheus.query(expression, self.end)

    def evaluations(self, rule):
        """Returns the times at which a rule was evaluated."""
        found = self.prometheus.get("query", query=f"{rule}[{math.ceil(self.end - self.start) + 60}s]", time=self.end)["result"]
        return sorted({moment for series in found for moment, _ in series["values"]})

    def summed(self, expression, times):
        """Returns the sum of the values at each of the times."""
        return sum(value for time in times for _, value in self.prometheus.query(expression, time))


@pytest.fixture(scope="session")
def recorded(tmp_path_factory):
    directory = tmp_path_factory.mktemp("dashboards")
    with contextlib.ExitStack() as stack:
        emulators = stack.enter_context(Emulators(directory / "emulators.log"))
        toxiproxy = stack.enter_context(Toxiproxy(directory / "toxiproxy.log"))
        load = stack.enter_context(Load())
        traffic = Traffic(stack, directory, emulators, toxiproxy, load)
        rules = write_faster(directory / "rules", SCALE)
        prometheus = stack.enter_context(Prometheus(directory, traffic.targets, rules, f"{INTERVAL * 1000:.0f}ms"))
        prometheus.until_scraped()
        start = now(prometheus)
        traffic.play(prometheus)
        yield Recorded(traffic, prometheus, start, now(prometheus))


def now(prometheus):
    (_, moment), = prometheus.query("time()")
    return moment
