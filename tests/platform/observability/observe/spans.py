"""The collector with the configuration that is shipped, which writes the spans that it keeps to a file."""

from harness.collector import Collector


def collector(directory, environment, replica):
    """`replica` is the address of an admin listener."""
    written = directory / "spans.json"
    overlay = {
        "exporters": {"file": {"path": str(written), "flush_interval": "1s"}, "debug": {}},
        "service": {
            "pipelines": {
                "traces/file": {"receivers": ["forward/traces"], "exporters": ["file"]},
                # Prometheus has them already.
                "metrics/debug": {"receivers": ["forward/metrics"], "exporters": ["debug"]},
            }
        },
    }
    variables = {"ENVIRONMENT": environment, "SHOUTBACK_ADMIN": replica, "SAMPLING_WAIT": "10s"}
    running = Collector(directory, ["config.yaml", "local.yaml"], overlay, **variables)
    running.written = written
    return running
