"""Each alarm of CloudWatch goes off for the fault that the alert of the same name is for, and for nothing else.

The services, their load and their faults are those of the alerts' tests, all at once, each in an environment of its own. Their
metrics go the way they go in a cluster: the collector scrapes them and signs what it sends; what arrives is kept by a
Prometheus, and the alarms' queries are put to it as they are, but for windows that are shorter.
"""

import contextlib
import json
import time

import pytest
import yaml
from aws import Aws
from cloudwatch import VARIABLES, Store
from conftest import FAST
from environments import SEEN, SEEN_BEFORE, Builder
from shipped import alerts

from harness.collector import SHIPPED, Collector
from harness.load import Load, unique_text
from harness.rules import faster
from harness.shoutback import Emulators
from harness.toxiproxy import Toxiproxy, free_port

# An hour in a minute. What is in an answer for three seconds is no accident of a busy machine.
SCALE = 60
SCRAPE = {"SCRAPE_INTERVAL": "1s", "SCRAPE_TIMEOUT": "1s"}
LASTING = 3

ALERTS = sorted({(rule["alert"], rule["labels"]["severity"]) for rule in alerts()})


class Sink(contextlib.AbstractContextManager):
    """What the environment without a collector needs: an address that is there, and one that can be taken away."""

    def __init__(self, toxiproxy, collector):
        self.always = f"http://{collector}"
        self.proxy = toxiproxy.proxy(collector)
        self.address = f"http://{self.proxy.address}"

    def __exit__(self, *_):
        pass


class Busier(Builder):
    """With more answers where an alarm wants two hundred of them, so that nobody has to wait for those."""

    def start(self, environment, *positional, **named):
        shoutback = super().start(environment, *positional, **named)
        if environment.name == "calls-are-slow":
            self.load.start(shoutback.address, 20, unique_text())
        return shoutback


def scraping(targets):
    """The shipped way to scrape pods, but that they are found in a file, each with its environment."""
    scrape, = yaml.safe_load((SHIPPED / "config.yaml").read_text())["receivers"]["prometheus"]["config"]["scrape_configs"]
    assert scrape.pop("kubernetes_sd_configs")
    scrape["file_sd_configs"] = [{"files": [str(targets)]}]
    rule, = (rule for rule in scrape["relabel_configs"] if rule.get("target_label") == "environment")
    del rule["replacement"]
    rule["source_labels"] = ["__environment"]
    return scrape


def write(targets, environments):
    """The replicas as pods, and two that are none of ours to scrape: a port of theirs that serves no metrics, and a dead pod."""

    def pod(address, environment, name, port="admin", phase="Running"):
        labels = {"namespace": "shoutback", "pod_name": name, "pod_container_port_name": port, "pod_phase": phase}
        return {
            "targets": [address],
            "labels": {"__environment": environment} | {f"__meta_kubernetes_{key}": text for key, text in labels.items()},
        }

    replicas = [(one.name, target) for one in environments for target in one.targets]
    pods = [pod(target.address, name, f"{name}-{target.labels['instance']}") for name, target in replicas]
    nobody = "127.0.0.1:9"
    pods += [pod(nobody, "healthy", "healthy-a", port="http"), pod(nobody, "healthy", "healthy-gone", phase="Failed")]
    targets.write_text(json.dumps(pods))


def value(store, query):
    data, _ = store.get("query", query=query)
    return float(data["result"][0]["value"][1]) if data["result"] else 0


def alarm_of(alert, severity):
    """The name of the alarm: that of the alert, unless that stands for two."""
    both = {severity for name, severity in ALERTS if name == alert}
    return f"{VARIABLES['name_prefix']}{alert}" + (f"-{severity}" if len(both) > 1 else "")


class Run:
    def __init__(self, environments, store, alarms):
        self.environments, self.store = environments, store
        self.alarms = {alarm["AlarmName"]: alarm for alarm in alarms}
        self.expected = {(one.name, alarm_of(*alert)) for one in environments for alert in one.expected}
        self.went_off = set()

    def query(self, name, environment):
        text = self.alarms[name]["EvaluationCriteria"]["PromQLCriteria"]["Query"].replace(VARIABLES["environment"], environment)
        return faster(text, SCALE)

    def answers(self, name, environment):
        data, _ = self.store.get("query", query=self.query(name, environment))
        return data["result"]

    def goes_off(self, name, environment):
        """Whether some contributor has been in the answer for long."""
        now = time.time()
        times = {"start": now - LASTING, "end": now, "step": LASTING / 3}
        data, _ = self.store.get("query_range", query=self.query(name, environment), **times)
        return any(len(contributor["values"]) == 4 for contributor in data["result"])

    def look(self):
        self.went_off |= {(one, name) for one, name in self.expected - self.went_off if self.answers(name, one)}

    def go(self):
        # Asked twice a second: more often would keep the machine from what is asked about.
        entries = [(0.5, 0, self.look), *(entry for one in self.environments for entry in one.repeat)]
        began = time.monotonic()
        repeated = [[every, began + offset - every, call] for every, offset, call in entries]

        def all_went_off():
            for entry in repeated:
                if time.monotonic() - entry[1] >= entry[0]:
                    entry[1] = time.monotonic()
                    entry[2]()
            return self.went_off == self.expected

        # What does not come in time is for the tests to say, of each alarm.
        with contextlib.suppress(AssertionError):
            self.store.until("all alarms go off", all_went_off, within=45)
        others = {(one.name, name) for one in self.environments for name in self.alarms} - self.expected
        self.astray = {pair for pair in others if self.goes_off(pair[1], pair[0])}


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
        # After the replicas: it looks for more of them every five seconds only.
        write(directory / "targets.json", environments)
        overlay = aws.overlay()
        overlay["receivers"] = {"prometheus": {"config": {"scrape_configs": [scraping(directory / "targets.json")]}}}
        stack.enter_context(Collector(directory, ["config.yaml", "aws.yaml", "local.yaml"], overlay, http=http, **FAST | SCRAPE))
        run = Run(environments, store, cloudwatch["metric_alarms"])
        run.aws = aws
        wanted = sum(len(one.targets) for one in environments)
        store.until("all are scraped", lambda: value(store, 'count(up{pod!=""} == 1)') == wanted)
        store.until("requests are seen", lambda: all(value(store, query) > SEEN for query in SEEN_BEFORE))
        for environment in environments:
            for call in environment.begin:
                call()
        run.go()
        for environment in environments:
            for call in environment.end:
                call()
        assert not aws.refused
        yield run


def test_there_is_an_alarm_for_each_alert_and_no_other(cloudwatch):
    severities = {alarm["AlarmName"]: tag(alarm, "severity") for alarm in cloudwatch["metric_alarms"]}
    assert severities == {alarm_of(*alert): alert[1] for alert in ALERTS}


def tag(alarm, key):
    return {tag["Key"]: tag["Value"] for tag in alarm["Tags"]}[key]


@pytest.mark.parametrize("alert", ALERTS, ids="-".join)
def test_it_goes_off_for_its_fault(alert, run):
    environments = [one.name for one in run.environments if alert in one.expected]
    assert environments, f"no fault is for {alert}"
    assert {(name, alarm_of(*alert)) for name in environments} <= run.went_off


def test_nothing_else_goes_off(run):
    assert run.astray == set()


def test_it_is_as_patient_as_the_alert(cloudwatch):
    patience = {alarm["AlarmName"]: criteria(alarm)["PendingPeriod"] for alarm in cloudwatch["metric_alarms"]}
    units = {"s": 1, "m": 60, "h": 3600}
    assert patience == {
        alarm_of(rule["alert"], rule["labels"]["severity"]): int(rule["for"][:-1]) * units[rule["for"][-1]] for rule in alerts()
    }


def criteria(alarm):
    return alarm["EvaluationCriteria"]["PromQLCriteria"]


def test_points_are_sent_as_the_endpoint_takes_them(run):
    """CloudWatch refuses more than 1,000 points or 1 MB at once; and there were more than that in a second."""
    sizes = [(count, size) for service, count, size in run.aws.requests if service == "monitoring"]
    assert sum(count for count, _ in sizes) > 1_000
    assert max(count for count, _ in sizes) <= 1_000 and max(size for _, size in sizes) <= 1_000_000
