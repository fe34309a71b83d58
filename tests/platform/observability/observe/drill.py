"""Something is broken at random: what? docs/drill.md says how to find out, and has the key."""

import argparse
import contextlib
import random
import signal
import sys
import tempfile
from pathlib import Path

from causes import CAUSES, Drilled


class Stopped(Exception):
    """Ctrl-C, SIGTERM, or the terminal is closed."""


def main():
    letters = [cause.letter for cause in CAUSES]
    parser = argparse.ArgumentParser(prog="scripts/drill", description="Breaks one thing and asks what it is.")
    parser.add_argument("--cause", choices=letters, help="what to break; else one at random")
    parser.add_argument("--answer", choices=letters, help="what you think it is; else you are asked")
    arguments = parser.parse_args()

    def stop(*_):
        raise Stopped

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    cause = next(cause for cause in CAUSES if cause.letter == (arguments.cause or random.choice(letters)))
    with contextlib.ExitStack() as stack, contextlib.suppress(Stopped):
        stage = Drilled(stack, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        stage.introduce()
        stage.prometheus.until("traffic has been seen", lambda: stage.prometheus.query("sum(rate(shoutback_shouts_total[5s])) > 0"))
        with stage.broken(cause.letter):
            print("Something is broken from now on. What?\n")
            for each in CAUSES:
                print(f"  {each.letter}  {each.cause}")
            answer = arguments.answer or asked(letters)
            found = stage.prometheus.until("it can be seen", lambda: stage.prometheus.query(cause.faster_query))
            print(f"\n{'Yes' if answer == cause.letter else 'No'}: {cause.letter}, {cause.cause}.\n")
            print(f"  {cause.faster_query}\n  is {found[0][1]:.3g}\n\n  {cause.alert}: docs/{cause.section}")
            return 0 if answer == cause.letter else 1
    print("\nEnded.")
    return 1


def asked(letters):
    while True:
        answer = input("\nWhat is it? ").strip().lower()
        if answer in letters:
            return answer
        print(f"One of {', '.join(letters)}.")


if __name__ == "__main__":
    sys.exit(main())
