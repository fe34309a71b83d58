"""Runs the real Prometheus with a test's targets and rules."""

import json
import shutil
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path

from .process import Process, responds_ok, http_request
from .toxiproxy import free_port


@dataclass
class Target:
    """A target to scrape. The label `instance` defaults to the address."""

    address: str
    labels: dict = field(default_factory=dict)
    job: str = "shoutback"


class Prometheus(Process):
    """A server on a free port; the constructor returns when it is ready. Configuration and data are in `directory`."""

    def __init__(self, directory, targets, rules=(), interval="1s", evaluation=None, alertmanagers=()):
        """`rules` are paths of rule files, `alertmanagers` addresses. `evaluation` defaults to `interval`."""
        self.directory, self.targets = directory, list(targets)
        self.rules, self.interval, self.evaluation = [str(path) for path in rules], interval, evaluation or interval
        self.alertmanagers = list(alertmanagers)
        self.configure()
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self.api = f"http://{self.address}"
        command = [
            "prometheus",
            f"--config.file={directory}/prometheus.yml",
            f"--storage.tsdb.path={directory}/data",
            f"--web.listen-address={self.address}",
            "--web.enable-lifecycle",
            "--log.level=warn",
        ]
        # Debian's build expects its web files where the package installs them.
        pages = Path(shutil.which("prometheus")).parents[1] / "usr/share/prometheus/web"
        if pages.exists():
            command.append(f"--web.local-assets={pages}")
        super().__init__(command, directory / "prometheus.log")
        with self.starting():
            self.until("it is ready", lambda: responds_ok(f"{self.api}/-/ready"))

    def configure(self):
        configuration = {
            "global": {
                "scrape_interval": self.interval,
                "scrape_timeout": self.interval,
                "evaluation_interval": self.evaluation,
            },
            "rule_files": self.rules,
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": self.alertmanagers}]}]},
            "scrape_configs": [
                {
                    "job_name": job,
                    "static_configs": [
                        {"targets": [target.address], "labels": target.labels} for target in self.targets if target.job == job
                    ],
                }
                for job in sorted({target.job for target in self.targets})
            ],
        }
        # YAML is a superset of JSON.
        (self.directory / "prometheus.yml").write_text(json.dumps(configuration, indent=1))

    def scrape(self, *targets):
        """Adds targets."""
        self.targets += targets
        self.configure()
        status, text = http_request("POST", f"{self.api}/-/reload")
        assert status == 200, text

    def get(self, path, **parameters):
        """Returns the data of a response of the API."""
        status, text = http_request("GET", f"{self.api}/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        assert status == 200, f"{path} {parameters}: {text}"
        return json.loads(text)["data"]

    def query(self, expression, time=None):
        """Returns the samples of an instant query as pairs of labels and value. A scalar has no labels."""
        data = self.get("query", query=expression, **({} if time is None else {"time": time}))
        if data["resultType"] == "scalar":
            return [({}, float(data["result"][1]))]
        assert data["resultType"] == "vector", f"{expression} is a {data['resultType']}"
        return [(sample["metric"], float(sample["value"][1])) for sample in data["result"]]

    def query_range(self, expression, start, end, step):
        """Returns the series of a range query as pairs of labels and values, the values as pairs of Unix time and value."""
        data = self.get("query_range", query=expression, start=start, end=end, step=step)
        return [
            (series["metric"], [(moment, float(value)) for moment, value in series["values"]]) for series in data["result"]
        ]

    def alerts(self, state=None):
        """Returns the active alerts, or those in `state`: pending or firing."""
        return [alert for alert in self.get("alerts")["alerts"] if state in (None, alert["state"])]

    def rule_groups(self):
        return self.get("rules")["groups"]

    def page(self, name):
        """Returns the URL of a web page, `alerts` or `graph`. Debian has the classic ones."""
        new, old = (f"{self.api}/{prefix}{name}" for prefix in ("", "classic/"))
        return new if responds_ok(new) else old

    def graph(self, expression, window="5m"):
        """Returns the URL of a graph of the expression."""
        return f"{self.page('graph')}?{urllib.parse.urlencode({'g0.expr': expression, 'g0.tab': 0, 'g0.range_input': window})}"

    def until_scraped(self):
        """Waits until the last scrape of every target succeeded."""

        def unscraped():
            active = self.get("targets", state="active")["activeTargets"]
            failed = [f"{target['scrapeUrl']} {target['health']} {target['lastError']}" for target in active if target["health"] != "up"]
            return failed + ["a target is missing"] * (len(active) != len(self.targets))

        try:
            self.until("all are scraped", lambda: not unscraped())
        except AssertionError as error:
            raise AssertionError(f"{error}: {unscraped()}") from error
