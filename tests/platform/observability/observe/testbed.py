"""Two replicas of the service under load, with emulators of their dependencies and Prometheus with the shipped alerts."""

from pathlib import Path

from alert_monitor import AlertMonitor

from harness.load import Load, empty, unique_text, cached_text
from harness.prometheus import Prometheus, Target
from harness.rules import write_faster
from harness.shoutback import Emulators, Shoutback
from harness.toxiproxy import free_port

ENVIRONMENT = "production"
DOCS = Path(__file__).parents[4] / "docs"

# An hour takes half a minute; an alert that fires after two minutes fires after one second.
SPEED = 120
SCRAPES = "500ms"

VARIABLES = {
    # In proportion to the speed of the alerts: they consider keys stale after some seconds.
    "COGNITO_JWKS_REFRESH": "1s",
    "BREAKER_WINDOW": "2s",
    "BREAKER_OPEN_FOR": "1s",
    "CACHE_TTL": "10s",
    "RATE_LIMIT_PER_CLIENT": "140/s",
    "RATE_LIMIT_BURST": "140",
}

REQUESTS = "http_server_request_duration_seconds_count"
QUERIES = {
    "responses by status": f'sum by (http_response_status_code) (rate({REQUESTS}{{http_route=~"/v[0-9].*"}}[5s])) > 0',
    "failures by problem": f'sum by (error_type) (rate({REQUESTS}{{http_response_status_code=~"5.."}}[5s])) > 0',
    "breaker, 1 where it is open": 'shoutback_breaker_state{state="open"}',
    "burn rate of the error budget": 'job_environment_slo:shoutback_bad:ratio_rate5m{slo="availability"} / 0.001',
    "alerts": 'ALERTS{alertstate="firing"}',
}


class Testbed:
    environment = ENVIRONMENT
    #: A command that executes the service.
    through = ()

    def __init__(self, stack, directory, speed=SPEED, with_collector=False):
        self.speed = speed
        self.emulators = stack.enter_context(Emulators(directory / "emulators.log"))
        self.load = stack.enter_context(Load())
        variables = VARIABLES | self.emulators.authentication() | self.start_dependencies(stack, directory)
        admin = f"127.0.0.1:{free_port()}"
        self.collector = None
        if with_collector:
            # Imported late: only this case needs the collector.
            from spans import collector

            self.collector = stack.enter_context(collector(directory, ENVIRONMENT, admin))
            variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = self.collector.endpoint
        self.variables = variables
        one = stack.enter_context(Shoutback(directory / "one.log", self.through, **variables, ADMIN_ADDR=admin))
        two = stack.enter_context(Shoutback(directory / "two.log", self.through, **variables))
        self.replicas = [one, two]
        targets = [
            Target(replica.admin, {"environment": ENVIRONMENT, "instance": name})
            for name, replica in zip(("one", "two"), self.replicas)
        ]
        rules = write_faster(directory / "rules", speed)
        for path in rules:
            # As the chart does. There is no Grafana here.
            path.write_text(path.read_text().replace("RUNBOOK_BASE_URL", f"file://{DOCS}").replace("GRAFANA_BASE_URL", "no-grafana-here"))
        self.prometheus = stack.enter_context(Prometheus(directory, targets, rules, SCRAPES))
        self.token = self.emulators.token()
        # One in six without a token, as in production.
        mix = [unique_text(self.token), cached_text(self.token), unique_text(self.token), empty(self.token), cached_text(self.token), cached_text()]
        self.streams = [self.load.start(replica.address, 20, *mix) for replica in self.replicas]
        self.monitor = AlertMonitor(self.prometheus)

    def start_dependencies(self, stack, directory):
        """Starts the dependencies. Returns the variables that refer to them, and further variables of the service."""
        return {"SHOUTCLOUD_URL": f"http://{self.emulators.shoutcloud}/V1/SHOUT"}

    def runbook(self, alert):
        return f"file://{DOCS}/runbooks/{alert}.md"

    def print_introduction(self):
        graph = self.prometheus.graph(QUERIES["responses by status"])
        print(f"""
Two replicas of Shoutback are under load, with emulators of SHOUTCLOUD and Cognito, and Prometheus with the shipped alerts,
{self.speed:g} times as fast as in production: an hour takes {3600 / self.speed:g} s. Ctrl-C stops everything.

  alerts      {self.prometheus.page("alerts")}, {self.prometheus.api}/api/v1/alerts
  a graph     {graph}
  metrics     {", ".join(f"http://{replica.admin}/metrics" for replica in self.replicas)}
  docs        {self.replicas[0].url.removesuffix("/v1")}/docs
  logs        {", ".join(str(replica.log) for replica in self.replicas)}
  spans       {self.collector.written if self.collector else "none: started without the collector"}

Queries for the graph page:
""")
        for what, query in QUERIES.items():
            print(f"  {what}\n    {query}")
        print(f"\nA token, valid for an hour:\n  {self.token}\n", flush=True)
