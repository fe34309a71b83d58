"""Everything that can be observed, at work on one machine: load, faults that come and go, and the alerts that they raise.

docs/operations.md says what there is to see.
"""

import argparse
import contextlib
import signal
import sys
import tempfile
from pathlib import Path

from faults import FAULTS
from watch import Watch

from harness.load import Load, empty, new, usual
from harness.prometheus import Prometheus, Target
from harness.rules import write_faster
from harness.shoutback import Emulators, Shoutback
from harness.toxiproxy import free_port

ENVIRONMENT = "production"

# An hour in half a minute: what pages within two minutes does so after one second.
SPEED = 120
SCRAPES = "500ms"

VARIABLES = {
    # In proportion to alerts that are so much faster: they take keys for stale after some seconds.
    "COGNITO_JWKS_REFRESH": "1s",
    "BREAKER_WINDOW": "2s",
    "BREAKER_OPEN_FOR": "1s",
    "CACHE_TTL": "10s",
    "RATE_LIMIT_PER_CLIENT": "140/s",
    "RATE_LIMIT_BURST": "140",
}

REQUESTS = "http_server_request_duration_seconds_count"
QUERIES = {
    "answers by status": f'sum by (http_response_status_code) (rate({REQUESTS}{{http_route="/v1"}}[5s])) > 0',
    "failures by problem": f'sum by (error_type) (rate({REQUESTS}{{http_response_status_code=~"5.."}}[5s])) > 0',
    "breaker, 1 where it is open": 'shoutback_breaker_state{state="open"}',
    "how fast the error budget burns": 'job_environment_slo:shoutback_bad:ratio_rate5m{slo="availability"} / 0.001',
    "alerts": 'ALERTS{alertstate="firing"}',
}


class Stopped(Exception):
    """Ctrl-C, SIGTERM, or the terminal is closed."""


def main():
    parser = argparse.ArgumentParser(prog="scripts/observe", description="Runs the service under load and faults.")
    parser.add_argument("--once", action="store_true", help="one fault; exit code 0 if its alert fired and went quiet again")
    parser.add_argument("--speed", type=float, default=SPEED, help=f"how many times as fast alerts are ({SPEED})")
    parser.add_argument("--calm", type=float, default=10, help="seconds between two faults (10)")
    parser.add_argument("--without-collector", action="store_true", help="no spans; the collector's first build takes minutes")
    arguments = parser.parse_args()

    def stop(*_):
        raise Stopped

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    with contextlib.ExitStack() as stack, contextlib.suppress(Stopped):
        stage = Stage(stack, Path(stack.enter_context(tempfile.TemporaryDirectory())), arguments)
        stage.introduce(arguments.speed)
        if arguments.once:
            held = stage.go_through(FAULTS[0], calm=3)
            print(f"\n{FAULTS[0].alert} {'fired and went quiet' if held else 'did not fire and go quiet'}.")
            return 0 if held else 1
        while True:
            for fault in FAULTS:
                stage.go_through(fault, arguments.calm)
    print("\nEnded.")
    return 0


class Stage:
    def __init__(self, stack, directory, arguments):
        self.emulators = stack.enter_context(Emulators(directory / "emulators.log"))
        self.load = stack.enter_context(Load())
        variables = VARIABLES | self.emulators.authentication()
        variables |= {"SHOUTCLOUD_URL": f"http://{self.emulators.shoutcloud}/V1/SHOUT"}
        admin = f"127.0.0.1:{free_port()}"
        self.collector = None
        if not arguments.without_collector:
            # Nobody else needs what it is made of.
            from spans import collector

            self.collector = stack.enter_context(collector(directory, ENVIRONMENT, admin))
            variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = self.collector.endpoint
        one = stack.enter_context(Shoutback(directory / "one.log", **variables, ADMIN_ADDR=admin))
        two = stack.enter_context(Shoutback(directory / "two.log", **variables))
        self.replicas = [one, two]
        targets = [
            Target(replica.admin, {"environment": ENVIRONMENT, "instance": name})
            for name, replica in zip(("one", "two"), self.replicas)
        ]
        rules = write_faster(directory / "rules", arguments.speed)
        self.prometheus = stack.enter_context(Prometheus(directory, targets, rules, SCRAPES))
        self.token = self.emulators.token()
        # One in six without a token: somebody always does.
        mix = [new(self.token), usual(self.token), new(self.token), empty(self.token), usual(self.token), usual()]
        self.streams = [self.load.on(replica.address, 20, *mix) for replica in self.replicas]
        self.watch = Watch(self.prometheus)

    def introduce(self, speed):
        graph = self.prometheus.graph(QUERIES["answers by status"])
        print(f"""
Two replicas of Shoutback are under load, with emulators of SHOUTCLOUD and Cognito, and Prometheus with the shipped alerts,
{speed:g} times as fast as they are: an hour passes in {3600 / speed:g} s. Ctrl-C ends it all.

  alerts      {self.prometheus.page("alerts")}
  a graph     {graph}
  metrics     {", ".join(f"http://{replica.admin}/metrics" for replica in self.replicas)}
  try it      {self.replicas[0].url.removesuffix("/v1")}/docs
  logs        {", ".join(str(replica.log) for replica in self.replicas)}
  spans       {self.collector.written if self.collector else "none, without the collector"}

Queries to paste into the graph's page:
""")
        for what, query in QUERIES.items():
            print(f"  {what}\n    {query}")
        print(f"\nA token, good for an hour:\n  {self.token}\n", flush=True)

    def go_through(self, fault, calm):
        """Calm, the fault, its alert, and quiet again. Whether that was seen."""
        self.watch.say("calm: all requests are served")
        self.watch.pause(calm)
        self.watch.say(f"FAULT: {fault.tells}")
        with fault.on(self):
            fired = self.watch.until_firing(fault.alert)
            # So that there is something to look at.
            self.watch.pause(min(calm, 5))
        self.watch.say("the fault is over; alerts go quiet when their short windows have passed")
        return fired and self.watch.until_quiet(fault.alert)


if __name__ == "__main__":
    sys.exit(main())
