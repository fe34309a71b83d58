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
from testbed import SPEED, Testbed


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
        testbed = Testbed(stack, directory, arguments.speed, not arguments.without_collector)
        testbed.print_introduction()
        if arguments.once:
            succeeded = run_fault(testbed, FAULTS[0], calm=3)
            print(f"\n{FAULTS[0].alert} {'fired and went quiet' if succeeded else 'did not fire and go quiet'}.")
            return 0 if succeeded else 1
        while True:
            for fault in FAULTS:
                run_fault(testbed, fault, arguments.calm)
    print("\nEnded.")
    return 0


def run_fault(testbed, fault, calm):
    """Calm, the fault, its alert, and quiet again. Whether that was seen."""
    testbed.monitor.log("calm: all requests are served")
    testbed.monitor.pause(calm)
    testbed.monitor.log(f"FAULT: {fault.description}")
    with fault.inject(testbed):
        fired = testbed.monitor.until_firing(fault.alert)
        # So that there is something to look at.
        testbed.monitor.pause(min(calm, 5))
    testbed.monitor.log("the fault is over; alerts go quiet when their short windows have passed")
    return fired and testbed.monitor.until_quiet(fault.alert)


if __name__ == "__main__":
    sys.exit(main())
