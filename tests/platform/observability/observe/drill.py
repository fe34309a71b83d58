"""Injects a random fault and asks which one it is. docs/drill.md describes how to find out; solutions.toml has the solutions."""

import argparse
import contextlib
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from scenarios import SCENARIOS, DrillTestbed

GIVE_UP = "give up"


class Stopped(Exception):
    """Ctrl-C, SIGTERM, or a closed terminal."""


def drawn(seed=None):
    """Draws a scenario: once, so that all are equally likely."""
    return random.Random(seed).choice(SCENARIOS)


def main():
    letters = [scenario.letter for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(prog="scripts/drill", description="Injects one fault and asks which one it is.")
    parser.add_argument("--cause", choices=letters, help="the fault to inject; by default a random one")
    parser.add_argument("--answer", choices=letters, help="your diagnosis; by default the program asks for it")
    parser.add_argument("--seed", type=int, help="repeats a random choice")
    arguments = parser.parse_args()

    def stop(*_):
        raise Stopped

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    scenario = next((one for one in SCENARIOS if one.letter == arguments.cause), None) or drawn(arguments.seed)
    with contextlib.ExitStack() as stack, contextlib.suppress(Stopped):
        testbed = DrillTestbed(stack, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        testbed.print_introduction()
        print("Waiting until there is enough history for every alert …", flush=True)
        try:
            testbed.until_alerts_can_fire()
        except AssertionError as error:
            print(f"\nThe drill cannot begin: {error}. This machine is too busy.")
            return 1
        began = time.time()
        with testbed.inject(scenario.letter):
            print(f"A fault is active now. In the runbooks' queries, $env is {testbed.environment}, pod is instance, and ranges are divided by 30: [5m] is [10s]. Which one is it?\n")
            for each in SCENARIOS:
                print(f"  {each.letter}  {each.cause}")
            right = (arguments.answer or diagnosed(scenario.letter, letters)) == scenario.letter
            print(f"\n{'Yes' if right else 'No'}: {scenario.letter}, {scenario.cause}.\n", flush=True)
            print(f"  {scenario.faster_query}\n  {found(testbed, scenario)}\n\n  {summary(testbed, scenario.alert, began)}")
            print(f"  {scenario.alert}: {testbed.runbook(scenario.alert)}", flush=True)
            if arguments.answer is None:
                input("\nEverything still runs, to look around. Enter ends it. ")
            return 0 if right else 1
    print("\nStopped.")
    return 1


def awaited(testbed, condition, within):
    """Waits for a result of `condition`. Returns a false value if there is none in time."""
    with contextlib.suppress(AssertionError):
        return testbed.prometheus.until("there is a result", condition, within)
    return None


def found(testbed, scenario, within=30):
    samples = awaited(testbed, lambda: testbed.prometheus.query(scenario.faster_query), within)
    return f"is {samples[0][1]:.3g}" if samples else "has no result now: what it finds is over, or this machine is too busy"


def summary(testbed, name, began, within=120):
    """Returns the summary of the alert. It may have fired and resolved during a long diagnosis; before `began` it does not count."""
    if not awaited(testbed, lambda: fires(testbed, name) or has_fired(testbed, name, began), within):
        return f"Its alert has not fired within {within:g} s: this machine is too busy."
    firing = fires(testbed, name)
    return firing[0]["annotations"]["summary"] if firing else "Its alert has fired and resolved meanwhile."


def fires(testbed, name):
    return [alert for alert in testbed.prometheus.alerts("firing") if alert["labels"]["alertname"] == name]


def has_fired(testbed, name, began):
    seconds = max(1, int(time.time() - began))
    return testbed.prometheus.query(f'max_over_time(ALERTS{{alertname="{name}",alertstate="firing"}}[{seconds}s])')


def diagnosed(letter, letters):
    """Asks until the diagnosis is right. Returns it, or another letter if the user gives up."""
    while True:
        answer = input(f"\nYour diagnosis, or `{GIVE_UP}`: ").strip().lower()
        if answer == letter:
            return answer
        if answer == GIVE_UP:
            return GIVE_UP
        print("That is not it. Look again." if answer in letters else f"Enter one of {', '.join(letters)}.")


if __name__ == "__main__":
    sys.exit(main())
