"""The real OpenTelemetry Collector, with the configuration that is shipped and what a test changes of it."""

import json
from pathlib import Path

from .process import Process, answers
from .toxiproxy import free_port

SHIPPED = Path(__file__).parents[2] / "observability/otel-collector"

# What the shipped files ask for. Nobody's credentials, and nobody is asked for better ones.
VARIABLES = {
    "ENVIRONMENT": "test",
    "K8S_NODE_NAME": "node-1",
    "AWS_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    "AWS_EC2_METADATA_DISABLED": "true",
    "OTLP_BACKEND_ENDPOINT": "http://127.0.0.1:9",
}


def command(action, files, directory, overlay=None):
    """`files` are names of shipped ones, in order; `overlay`, what a test changes of them, is the last."""
    paths = [SHIPPED / name for name in files]
    if overlay:
        paths.append(directory / "overlay.yaml")
        # YAML is a superset of JSON.
        paths[-1].write_text(json.dumps(overlay, indent=1))
    return ["otelcol-shoutback", *action, *(f"--config={path}" for path in paths)]


class Collector(Process):
    """One that listens on this machine only, ready when it is made. `overlay` is a configuration, `variables` its environment.

    `http` is the address for OTLP over HTTP, if somebody has to know it before.
    """

    def __init__(self, directory, files, overlay, http=None, **variables):
        self.grpc, self.http, health, own = (f"127.0.0.1:{free_port()}" for _ in range(4))
        self.http = http or self.http
        overlay.setdefault("receivers", {})["otlp"] = {
            "protocols": {"grpc": {"endpoint": self.grpc}, "http": {"endpoint": self.http}}
        }
        overlay.setdefault("extensions", {})["health_check"] = {"endpoint": health}
        self.endpoint = f"http://{self.http}"
        self.metrics = f"http://{own}/metrics"
        environment = VARIABLES | {"SELF_METRICS_PORT": own.rpartition(":")[2]} | variables
        super().__init__(command([], files, directory, overlay), directory / "collector.log", environment)
        with self.starting():
            self.until("it is ready", lambda: answers(f"http://{health}/"))
