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
from stage import SPEED, Stage


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
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stage = Stage(stack, directory, arguments.speed, not arguments.without_collector)
        stage.introduce()
        if arguments.once:
            held = go_through(stage, FAULTS[0], calm=3)
            print(f"\n{FAULTS[0].alert} {'fired and went quiet' if held else 'did not fire and go quiet'}.")
            return 0 if held else 1
        while True:
            for fault in FAULTS:
                go_through(stage, fault, arguments.calm)
    print("\nEnded.")
    return 0


def go_through(stage, fault, calm):
    """Calm, the fault, its alert, and quiet again. Whether that was seen."""
    stage.watch.say("calm: all requests are served")
    stage.watch.pause(calm)
    stage.watch.say(f"FAULT: {fault.tells}")
    with fault.on(stage):
        fired = stage.watch.until_firing(fault.alert)
        # So that there is something to look at.
        stage.watch.pause(min(calm, 5))
    stage.watch.say("the fault is over; alerts go quiet when their short windows have passed")
    return fired and stage.watch.until_quiet(fault.alert)


if __name__ == "__main__":
    sys.exit(main())
