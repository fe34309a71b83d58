"""Injects a random fault and asks which one it is. docs/drill.md describes how to find out, and has the solutions."""

import argparse
import contextlib
import random
import signal
import sys
import tempfile
from pathlib import Path

from scenarios import SCENARIOS, DrillTestbed


class Stopped(Exception):
    """Ctrl-C, SIGTERM, or a closed terminal."""


def main():
    letters = [scenario.letter for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(prog="scripts/drill", description="Injects one fault and asks which one it is.")
    parser.add_argument("--cause", choices=letters, help="the fault to inject; by default a random one")
    parser.add_argument("--answer", choices=letters, help="your diagnosis; by default the program asks for it")
    arguments = parser.parse_args()

    def stop(*_):
        raise Stopped

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    scenario = next(scenario for scenario in SCENARIOS if scenario.letter == (arguments.cause or random.choice(letters)))
    with contextlib.ExitStack() as stack, contextlib.suppress(Stopped):
        testbed = DrillTestbed(stack, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        testbed.print_introduction()
        testbed.prometheus.until("Prometheus has seen traffic", lambda: testbed.prometheus.query("sum(rate(shoutback_shouts_total[5s])) > 0"))
        with testbed.inject(scenario.letter):
            print("A fault is active now. Which one?\n")
            for each in SCENARIOS:
                print(f"  {each.letter}  {each.cause}")
            answer = arguments.answer or prompt(letters)
            found = testbed.prometheus.until("the query finds it", lambda: testbed.prometheus.query(scenario.faster_query))
            print(f"\n{'Yes' if answer == scenario.letter else 'No'}: {scenario.letter}, {scenario.cause}.\n")
            print(f"  {scenario.faster_query}\n  is {found[0][1]:.3g}\n\n  {scenario.alert}: docs/{scenario.section}")
            return 0 if answer == scenario.letter else 1
    print("\nStopped.")
    return 1


def prompt(letters):
    while True:
        answer = input("\nWhich one is it? ").strip().lower()
        if answer in letters:
            return answer
        print(f"Enter one of {', '.join(letters)}.")


if __name__ == "__main__":
    sys.exit(main())
