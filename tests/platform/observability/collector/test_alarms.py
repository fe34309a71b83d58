"""Each CloudWatch alarm fires for the fault of the alert with the same name, and for no other.

Services, load and faults are those of the alerts' tests, all at the same time, each in its own environment. The metrics take the path
that they take in a cluster: the collector scrapes them and signs its requests. A Prometheus stores them and evaluates the queries of
the alarms, with shorter windows.
"""

import contextlib
import json
import time

import pytest
import yaml
from aws import Aws
from cloudwatch import VARIABLES, Store
from conftest import FAST
from environments import MIN_REQUESTS, PRECONDITIONS, Builder
from shipped import NEEDS_CLIENTS, alerts_of_the_service as alerts

from harness.collector import SHIPPED, Collector
from harness.load import Load, unique_text
from harness.rules import faster
from harness.shoutback import Emulators
from harness.toxiproxy import Toxiproxy, free_port

# An hour takes a minute. A result that lasts for three seconds is not an artefact of a busy machine.
SCALE = 60
SCRAPE = {"SCRAPE_INTERVAL": "1s", "SCRAPE_TIMEOUT": "1s"}
LASTING = 3
# Takes 18.5 hours; the tests of the alerts have a faster Prometheus for it.
TOO_SLOW = {("ShoutbackKeySetStale", "page")}

ALERTS = sorted({(rule["alert"], rule["labels"]["severity"]) for rule in alerts()})


class Sink(contextlib.AbstractContextManager):
    """The collector of the environment whose collector fails: an address that is always reachable, and one that can be disabled."""

    def __init__(self, toxiproxy, collector):
        self.always = f"http://{collector}"
        self.proxy = toxiproxy.proxy(collector)
        self.address = f"http://{self.proxy.address}"

    def __exit__(self, *_):
        pass


class Busier(Builder):
    """Sends more requests where an alarm requires two hundred, to save time."""

    def start(self, environment, *positional, **named):
        shoutback = super().start(environment, *positional, **named)
        if environment.name == "calls-are-slow":
            self.load.start(shoutback.address, 20, unique_text())
        return shoutback


def scraping(targets):
    """Returns the shipped scrape configuration with the pods and their environments from a file."""
    scrape, = yaml.safe_load((SHIPPED / "config.yaml").read_text())["receivers"]["prometheus"]["config"]["scrape_configs"]
    assert scrape.pop("kubernetes_sd_configs")
    scrape["file_sd_configs"] = [{"files": [str(targets)]}]
    rule, = (rule for rule in scrape["relabel_configs"] if rule.get("target_label") == "environment")
    del rule["replacement"]
    rule["source_labels"] = ["__environment"]
    return scrape


def write(targets, environments):
    """Writes the replicas as pods, and two targets that must not be scraped: a port without metrics, and a pod that has ended."""

    def pod(address, environment, name, port="admin", phase="Running"):
        labels = {"namespace": "shoutback", "pod_name": name, "pod_container_port_name": port, "pod_phase": phase}
        return {
            "targets": [address],
            "labels": {"__environment": environment} | {f"__meta_kubernetes_{key}": text for key, text in labels.items()},
        }

    replicas = [(one.name, target) for one in environments for target in one.targets]
    pods = [pod(target.address, name, f"{name}-{target.labels['instance']}") for name, target in replicas]
    closed_port = "127.0.0.1:9"
    pods += [pod(closed_port, "healthy", "healthy-a", port="http"), pod(closed_port, "healthy", "healthy-ended", phase="Failed")]
    targets.write_text(json.dumps(pods))


def value(store, query):
    data, _ = store.get("query", query=query)
    return float(data["result"][0]["value"][1]) if data["result"] else 0


def alarm_of(alert, severity):
    """Returns the name of the alarm: that of the alert, with the severity if two alerts share it."""
    both = {severity for name, severity in ALERTS if name == alert}
    return f"{VARIABLES['name_prefix']}{alert}" + (f"-{severity}" if len(both) > 1 else "")


class Run:
    def __init__(self, environments, store, alarms):
        self.environments, self.store = environments, store
        self.alarms = {alarm["AlarmName"]: alarm for alarm in alarms}
        self.expected = {(one.name, alarm_of(*alert)) for one in environments for alert in one.expected if alert not in TOO_SLOW}
        self.optional = {(one.name, alarm_of(*alert)) for one in environments for alert in one.optional}
        self.fired = set()

    def query(self, name, environment):
        text = self.alarms[name]["EvaluationCriteria"]["PromQLCriteria"]["Query"].replace(VARIABLES["environment"], environment)
        return faster(text, SCALE)

    def contributors(self, name, environment):
        data, _ = self.store.get("query", query=self.query(name, environment))
        return data["result"]

    def has_fired_for_long(self, name, environment):
        """Returns whether a contributor has been in the result for long."""
        now = time.time()
        times = {"start": now - LASTING, "end": now, "step": LASTING / 3}
        data, _ = self.store.get("query_range", query=self.query(name, environment), **times)
        return any(len(contributor["values"]) == 4 for contributor in data["result"])

    def update_fired(self):
        self.fired |= {(one, name) for one, name in self.expected - self.fired if self.contributors(name, one)}

    def go(self):
        # Queries twice per second; more would slow the machine down.
        entries = [(0.5, 0, self.update_fired), *(entry for one in self.environments for entry in one.repeat)]
        began = time.monotonic()
        repeated = [[every, began + offset - every, call] for every, offset, call in entries]

        def all_fired():
            for entry in repeated:
                if time.monotonic() - entry[1] >= entry[0]:
                    entry[1] = time.monotonic()
                    entry[2]()
            return self.fired == self.expected

        # The tests report each alarm that does not fire in time.
        with contextlib.suppress(AssertionError):
            self.store.until("all alarms fire", all_fired, within=45)
        unaffected = {(one.name, name) for one in self.environments for name in self.alarms} - self.expected - self.optional
        self.unexpected = {pair for pair in unaffected if self.has_fired_for_long(pair[1], pair[0])}


@pytest.fixture(scope="module")
def run(cloudwatch, tmp_path_factory):
    directory = tmp_path_factory.mktemp("alarms")
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(Store(directory))
        aws = stack.enter_context(Aws(forward=store.otlp))
        emulators = stack.enter_context(Emulators(directory / "emulators.log"))
        toxiproxy = stack.enter_context(Toxiproxy(directory / "toxiproxy.log"))
        load = stack.enter_context(Load())
        http = f"127.0.0.1:{free_port()}"
        environments = Busier(stack, directory, emulators, toxiproxy, load, Sink(toxiproxy, http)).all()
        for environment in environments:
            for call in environment.before:
                call()
        # After the replicas, because it discovers new ones only every five seconds.
        write(directory / "targets.json", environments)
        overlay = aws.overlay()
        overlay["receivers"] = {"prometheus": {"config": {"scrape_configs": [scraping(directory / "targets.json")]}}}
        stack.enter_context(Collector(directory, ["config.yaml", "aws.yaml", "local.yaml"], overlay, http=http, **FAST | SCRAPE))
        run = Run(environments, store, cloudwatch["metric_alarms"])
        run.aws = aws
        number = sum(len(one.targets) for one in environments)
        store.until("all are scraped", lambda: value(store, 'count(up{pod!=""} == 1)') == number)
        store.until("requests are counted", lambda: all(value(store, query) > MIN_REQUESTS for query in PRECONDITIONS))
        for environment in environments:
            for call in environment.begin:
                call()
        run.go()
        for environment in environments:
            for call in environment.end:
                call()
        assert not aws.rejected
        yield run


def test_alarms_correspond_to_alerts(cloudwatch):
    severities = {alarm["AlarmName"]: tag(alarm, "severity") for alarm in cloudwatch["metric_alarms"]}
    assert severities == {alarm_of(*alert): alert[1] for alert in ALERTS}


def tag(alarm, key):
    return {tag["Key"]: tag["Value"] for tag in alarm["Tags"]}[key]


@pytest.mark.parametrize("alert", sorted(alert for alert in set(ALERTS) - TOO_SLOW if alert[0] not in NEEDS_CLIENTS), ids="-".join)
def test_it_fires_for_its_fault(alert, run):
    environments = [one.name for one in run.environments if alert in one.expected]
    assert environments, f"no fault for {alert}"
    assert {(name, alarm_of(*alert)) for name in environments} <= run.fired


def test_no_other_alarm_fires(run):
    assert run.unexpected == set()


def test_it_has_the_pending_period_of_the_alert(cloudwatch):
    periods = {alarm["AlarmName"]: criteria(alarm)["PendingPeriod"] for alarm in cloudwatch["metric_alarms"]}
    units = {"s": 1, "m": 60, "h": 3600}
    assert periods == {
        alarm_of(rule["alert"], rule["labels"]["severity"]): int(pending[:-1]) * units[pending[-1]]
        for rule in alerts()
        for pending in [rule.get("for", "0s")]
    }


def criteria(alarm):
    return alarm["EvaluationCriteria"]["PromQLCriteria"]


def test_requests_are_within_the_limits_of_the_endpoint(run):
    """CloudWatch rejects requests with more than 1,000 points or 1 MB; there were more than that per second."""
    sizes = [(count, size) for service, count, size in run.aws.requests if service == "monitoring"]
    assert sum(count for count, _ in sizes) > 1_000
    assert max(count for count, _ in sizes) <= 1_000 and max(size for _, size in sizes) <= 1_000_000
