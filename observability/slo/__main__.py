"""Writes everything that is generated from objectives.py, below the top of the repository or below the given directory: `make slo`."""

import sys
from pathlib import Path

import cloudwatch
import document
import prometheus

TOP = Path(__file__).resolve().parents[2]


def main():
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TOP
    written = {
        "observability/prometheus/rules/slo-recording.yaml": prometheus.recording(),
        "observability/prometheus/rules/slo-alerts.yaml": prometheus.alerts(),
        "observability/cloudwatch/alarms/slo.yaml": cloudwatch.alarms(),
        "observability/cloudwatch/dashboard.yaml": cloudwatch.dashboard((TOP / "observability/cloudwatch/dashboard.yaml").read_text()),
        "docs/slo.md": document.filled((TOP / "docs/slo.md").read_text()),
    }
    for name, text in written.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
