"""Writes the dashboards to the directory `dashboards` beside this one, or to the given one: `make dashboards`."""

import json
import sys
from pathlib import Path

import consumers
import runtime
import service
import slo
import upstream

DIRECTORY = Path(__file__).parent.parent / "dashboards"


def main():
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else DIRECTORY
    for module in (slo, service, upstream, consumers, runtime):
        text = json.dumps(module.DASHBOARD, indent=2, ensure_ascii=False)
        (directory / f"{module.__name__}.json").write_text(f"{text}\n")


if __name__ == "__main__":
    main()
