"""Runs the real OpenTelemetry Collector with the shipped configuration and a test's overlay."""

import json
from pathlib import Path

from .process import Process, responds_ok
from .toxiproxy import free_port

SHIPPED = Path(__file__).parents[2] / "observability/otel-collector"

# The variables of the shipped files. The credentials are fake, and the metadata service is not queried for others.
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
    """Returns the command line with the shipped `files`, in order, and with `overlay`, a test's changes, as the last file."""
    paths = [SHIPPED / name for name in files]
    if overlay:
        paths.append(directory / "overlay.yaml")
        # YAML is a superset of JSON.
        paths[-1].write_text(json.dumps(overlay, indent=1))
    return ["otelcol-shoutback", *action, *(f"--config={path}" for path in paths)]


class Collector(Process):
    """A collector that listens on loopback; the constructor returns when it is ready. `variables` are its environment.

    `http` is the address for OTLP over HTTP; by default a free one.
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
            self.until("it is ready", lambda: responds_ok(f"http://{health}/"))
