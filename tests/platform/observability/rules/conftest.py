"""One run for all tests: faults start, alerts fire, faults end, alerts resolve. The tests check the recorded alerts."""

import contextlib
import http.server
import json
import threading
import time

import incidents
import pytest
import yaml
from environments import MIN_REQUESTS, PRECONDITIONS, Builder
from shipped import TESTS

from harness.load import Load
from harness.process import Process
from harness.prometheus import Prometheus
from harness.rules import write_faster
from harness.shoutback import Emulators
from harness.toxiproxy import Toxiproxy

# An hour takes 36 s. Alerts that fire or resolve after many hours are watched in another Prometheus, in which
# six hours take 15 s.
SCALE, TICKET_SCALE = 100, 1440
INTERVAL, EVALUATION = "1s", "500ms"
SLOW = {("ShoutbackAvailabilityTicket", "ticket"), ("ShoutbackLatencyTicket", "ticket"), ("ShoutbackKeySetStale", "page")}


class Collector(contextlib.AbstractContextManager):
    """A fake collector: reachable at `always`, and at `address` while `proxy` is enabled."""

    def __init__(self, toxiproxy):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.always = f"http://127.0.0.1:{self.server.server_port}"
        self.proxy = toxiproxy.proxy(f"127.0.0.1:{self.server.server_port}")
        self.address = f"http://{self.proxy.address}"

    def __exit__(self, *_):
        self.server.shutdown()


class Run:
    def __init__(self, environments, prometheus, tickets):
        self.environments, self.prometheus, self.tickets = environments, prometheus, tickets
        self.fired, self.annotations, self.returned = {}, {}, set()

    def fired_alerts(self, prometheus):
        """Returns the labels of every alert that has fired."""
        return [labels for labels, _ in prometheus.query('max_over_time(ALERTS{alertstate="firing"}[1h])')]

    def now(self, prometheus):
        return {identity(alert["labels"]) for alert in prometheus.alerts()}

    def expected(self):
        return {(environment.name, *alert) for environment in self.environments for alert in environment.expected}

    def go(self):
        """Runs all phases. The tests report the alerts that did not fire or resolve in time."""
        expected = self.expected()
        slow = {alert for alert in expected if alert[1:] in SLOW}
        self.prometheus.until_scraped()
        self.prometheus.until("requests are counted", self._requests_are_counted)
        self._call("begin")
        start = time.monotonic()
        due = {call: (start + offset, every) for one in self.environments for every, offset, call in one.repeat}

        def all_fire():
            for call, (when, every) in due.items():
                if time.monotonic() >= when:
                    due[call] = when + every, every
                    call()
            for prometheus in (self.tickets, self.prometheus):
                self.annotations |= {identity(alert["labels"]): alert["annotations"] for alert in prometheus.alerts("firing")}
            both = self.fired_alerts(self.prometheus), self.fired_alerts(self.tickets)
            fired, fired_slowly = ({identity(labels) for labels in labelled} for labelled in both)
            self.fired = {"prometheus": both[0], "tickets": both[1]}
            # One may have started between the two queries; the next ones have its text.
            return expected - slow <= fired and expected <= self.annotations.keys() and slow <= fired_slowly

        with contextlib.suppress(AssertionError):
            self.prometheus.until("all alerts fire", all_fire, within=120)
        self._call("end")

        def all_resolved():
            still = self.now(self.prometheus) - slow | self.now(self.tickets) & slow
            self.returned = expected - still
            return self.returned == expected

        with contextlib.suppress(AssertionError):
            self.prometheus.until("all alerts resolve", all_resolved, within=120)
        # Alerts caused by the end of the faults count as well.
        self.fired["prometheus"] = self.fired_alerts(self.prometheus)

    def responded_to_every_scrape(self, environment):
        worst, = self.prometheus.query(f'min(min_over_time(up{{environment="{environment}"}}[1h]))')
        return worst[1] == 1

    def _requests_are_counted(self):
        return all(samples and samples[0][1] > MIN_REQUESTS for samples in map(self.prometheus.query, PRECONDITIONS))

    def _call(self, what):
        for environment in self.environments:
            for call in getattr(environment, what):
                call()


def identity(labels):
    return labels["environment"], labels["alertname"], labels["severity"]


def pytest_collection_modifyitems(items):
    """Runs promtool's tests first: they need all cores, and the environments respond late on a busy machine."""
    items.sort(key=lambda item: "run" in item.fixturenames)


@pytest.fixture(scope="session")
def incident_tests(tmp_path_factory):
    """Starts promtool's tests of the incidents, which take minutes."""
    directory = tmp_path_factory.mktemp("incidents")
    (directory / "incidents.yaml").write_text(incidents.promtool_tests())
    with Process(["promtool", "test", "rules", directory / "incidents.yaml"], directory / "log") as process:
        yield process


@pytest.fixture(scope="session")
def promtool_tests(tmp_path_factory, incident_tests):
    """Starts promtool's tests of the rules, in parallel to those of the incidents."""
    log = tmp_path_factory.mktemp("promtool") / "log"
    with Process(["promtool", "test", "rules", *TESTS], log) as process:
        yield process


def keep_alerts(paths, kept):
    """Removes the other alerts from the rule files, and the recorded series that no rule uses then. Evaluating all takes a core."""
    groups = {path: yaml.safe_load(path.read_text())["groups"] for path in paths}
    rules = [rule for listed in groups.values() for group in listed for rule in group["rules"]]
    used, left = [], [rule for rule in rules if (rule.get("alert"), rule.get("labels", {}).get("severity")) in kept]
    while left:
        used += left
        text = " ".join(rule["expr"] for rule in left)
        left = [rule for rule in rules if rule not in used and "record" in rule and rule["record"] in text]
    for path, listed in groups.items():
        remaining = [group | {"rules": [rule for rule in group["rules"] if rule in used]} for group in listed]
        # YAML is a superset of JSON.
        path.write_text(json.dumps({"groups": [group for group in remaining if group["rules"]]}))


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("run")
    with contextlib.ExitStack() as stack:
        emulators = stack.enter_context(Emulators(directory / "emulators.log"))
        toxiproxy = stack.enter_context(Toxiproxy(directory / "toxiproxy.log"))
        collector = stack.enter_context(Collector(toxiproxy))
        load = stack.enter_context(Load())
        builder = Builder(stack, directory, emulators, toxiproxy, load, collector)
        environments = builder.all()
        for environment in environments:
            for call in environment.before:
                call()

        def prometheus(name, scale, environments, kept=None):
            (directory / name).mkdir()
            rules = write_faster(directory / name / "rules", scale)
            if kept:
                keep_alerts(rules, kept)
            targets = [target for environment in environments for target in environment.targets]
            return stack.enter_context(Prometheus(directory / name, targets, rules, INTERVAL, EVALUATION))

        with_tickets = [one for one in environments if SLOW & one.expected]
        run = Run(
            environments,
            prometheus("prometheus", SCALE, environments),
            prometheus("tickets", TICKET_SCALE, with_tickets, SLOW),
        )
        run.go()
        yield run
        # In parallel, to save time.
        for instance in builder.instances:
            instance.child.terminate()
