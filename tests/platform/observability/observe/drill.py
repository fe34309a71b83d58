"""Something is broken at random: what? docs/drill.md says how to find out, and has the key."""

import argparse
import contextlib
import random
import signal
import sys
import tempfile
from pathlib import Path

from scenarios import SCENARIOS, DrillTestbed


class Stopped(Exception):
    """Ctrl-C, SIGTERM, or the terminal is closed."""


def main():
    letters = [cause.letter for cause in SCENARIOS]
    parser = argparse.ArgumentParser(prog="scripts/drill", description="Breaks one thing and asks what it is.")
    parser.add_argument("--cause", choices=letters, help="what to break; else one at random")
    parser.add_argument("--answer", choices=letters, help="what you think it is; else you are prompt")
    arguments = parser.parse_args()

    def stop(*_):
        raise Stopped

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    cause = next(cause for cause in SCENARIOS if cause.letter == (arguments.cause or random.choice(letters)))
    with contextlib.ExitStack() as stack, contextlib.suppress(Stopped):
        testbed = DrillTestbed(stack, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        testbed.print_introduction()
        testbed.prometheus.until("traffic has been seen", lambda: testbed.prometheus.query("sum(rate(shoutback_shouts_total[5s])) > 0"))
        with testbed.broken(cause.letter):
            print("Something is broken from now on. What?\n")
            for each in SCENARIOS:
                print(f"  {each.letter}  {each.cause}")
            answer = arguments.answer or prompt(letters)
            found = testbed.prometheus.until("it can be seen", lambda: testbed.prometheus.query(cause.faster_query))
            print(f"\n{'Yes' if answer == cause.letter else 'No'}: {cause.letter}, {cause.cause}.\n")
            print(f"  {cause.faster_query}\n  is {found[0][1]:.3g}\n\n  {cause.alert}: docs/{cause.section}")
            return 0 if answer == cause.letter else 1
    print("\nEnded.")
    return 1


def prompt(letters):
    while True:
        answer = input("\nWhat is it? ").strip().lower()
        if answer in letters:
            return answer
        print(f"One of {', '.join(letters)}.")


if __name__ == "__main__":
    sys.exit(main())
