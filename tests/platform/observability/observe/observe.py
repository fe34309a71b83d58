"""Runs the service under load on this machine, injects faults, and prints the alerts that they raise. See docs/drill.md."""

import argparse
import contextlib
import signal
import sys
import tempfile
from pathlib import Path

from faults import FAULTS
from testbed import SPEED, Testbed


class Stopped(Exception):
    """Ctrl-C, SIGTERM, or a closed terminal."""


def main():
    parser = argparse.ArgumentParser(prog="scripts/observe", description="Runs the service under load and injects faults.")
    parser.add_argument("--once", action="store_true", help="inject one fault; exit code 0 if its alert fired and resolved")
    parser.add_argument("--speed", type=float, default=SPEED, help=f"speed-up of the alerts ({SPEED})")
    parser.add_argument("--calm", type=float, default=10, help="seconds between faults (10)")
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
            print(f"\n{FAULTS[0].alert} {'fired and resolved' if succeeded else 'did not fire and resolve'}.")
            return 0 if succeeded else 1
        while True:
            for fault in FAULTS:
                run_fault(testbed, fault, arguments.calm)
    print("\nStopped.")
    return 0


def run_fault(testbed, fault, calm):
    """Injects a fault after a calm period. Returns whether its alert fired and resolved."""
    testbed.monitor.log("calm: all requests are served")
    testbed.monitor.pause(calm)
    testbed.monitor.log(f"FAULT: {fault.description}")
    with fault.inject(testbed):
        fired = testbed.monitor.until_firing(fault.alert)
        # Time to look at the graphs.
        testbed.monitor.pause(min(calm, 5))
    testbed.monitor.log("the fault is over; alerts resolve when their short windows have passed")
    return fired and testbed.monitor.until_resolved(fault.alert)


if __name__ == "__main__":
    sys.exit(main())
