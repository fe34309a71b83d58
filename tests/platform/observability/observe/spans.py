"""Runs the collector with the shipped configuration; it writes the sampled spans to a file."""

from harness.collector import Collector


def collector(directory, environment, replica):
    """Starts the collector, which scrapes the admin listener at `replica`."""
    written = directory / "spans.json"
    overlay = {
        "exporters": {"file": {"path": str(written), "flush_interval": "1s"}, "debug": {}},
        "service": {
            "pipelines": {
                "traces/file": {"receivers": ["forward/traces"], "exporters": ["file"]},
                # Metrics are discarded: Prometheus scrapes the service itself.
                "metrics/debug": {"receivers": ["forward/metrics"], "exporters": ["debug"]},
            }
        },
    }
    variables = {"ENVIRONMENT": environment, "SHOUTBACK_ADMIN": replica, "SAMPLING_WAIT": "10s"}
    running = Collector(directory, ["config.yaml", "local.yaml"], overlay, **variables)
    running.written = written
    return running
