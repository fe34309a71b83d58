"""Soak test: a steady load of mixed requests during a series of faults; checks responses, memory and descriptors.

See docs/soak.md for how to read the summary.
"""

import argparse
import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from harness.process import wait_until
from harness.shoutback import Emulators, Shoutback
from harness.toxiproxy import Toxic, Toxiproxy
from load import Load
from phases import CALM, SCHEDULE, UNAVAILABLE, Faults
from report import Row, markdown, record
from texts import Texts

VARIABLES = {
    "RATE_LIMIT_PER_CLIENT": "off",
    "SHUTDOWN_GRACE": "2s",
    # A phase may last only seconds; with the defaults, the breaker's window would reach into the next phases.
    "BREAKER_WINDOW": "5s",
    "BREAKER_OPEN_FOR": "1s",
    # Full, and with stale entries, within the first phases.
    "CACHE_CAPACITY": "4MiB",
    "CACHE_TTL": "3s",
}

# Allocators retain the memory of the peak of waiting requests: 256 of some 70 KiB each in the half-open phase, 18 MiB; the rest is the
# cache with its overhead. A leak of 2 KiB per request would exceed this by far within five minutes.
MEMORY_GROWTH_MIB = 32

# Connections to SHOUTCLOUD stay in the pool for 90 s after a peak.
DESCRIPTOR_GROWTH = 128

# How long clients may be affected after the end of a fault.
SETTLE_SECONDS = 30
SETTLED_RESPONSES = 20

# Below this rate the machine was too busy for meaningful results.
MIN_RATE = 50

# If a tenth of the attempts fails, four attempts leave one error in 10,000; a short run may still have two.
TOLERATED_ERRORS = 2


class Soak:
    def __init__(self, seconds, shoutback, emulators, load, faults):
        self.phase_seconds = seconds / (len(SCHEDULE) + 1)
        self.shoutback, self.emulators, self.load, self.faults = shoutback, emulators, load, faults
        self.rows, self.failures = [], []

    async def run(self):
        began = time.monotonic()
        self.load.running.set()
        for phase in SCHEDULE:
            await self.run_phase(phase)
        paced = time.monotonic() - began
        await self.drain()
        rate = len(self.load.outcomes) / paced
        if rate < MIN_RATE:
            self.failures.append(f"only {rate:.0f} requests per second were sent")
        await self.stop_under_load()
        self.compare_calm_phases()

    async def run_phase(self, phase):
        """Injects the fault of a phase, waits for earlier requests, and checks the outcomes of later ones."""
        into, out_of = (f"{way} {len(self.rows) + 1} {phase.name}" for way in ("into", "out of"))
        with self.faults.inject(phase) as fault:
            self.load.phase = into
            await self.load.settle()
            row = await self.measure(phase.name, lambda: self.hold(fault))
            self.load.phase = out_of
        self.check(phase, row)
        row.settled = await self.settle_time(phase)
        for outcome in self.outcomes_of(into, out_of):
            allowed = {"200", "unauthenticated"} | (UNAVAILABLE if phase.outage or phase.some_calls_fail else set())
            if outcome.result not in allowed:
                self.failures.append(f"around {phase.name}: {outcome.result} ({outcome.kind}, {outcome.transport})")

    async def hold(self, fault):
        """Waits for the duration of a phase."""
        until = time.monotonic() + self.phase_seconds
        while (rest := until - time.monotonic()) > 0:
            await asyncio.sleep(min(rest, 0.5))
            if isinstance(fault, Toxic) and fault.toxicity < 1:
                # Otherwise the connections that the toxic spared would serve all requests.
                fault.resample()

    async def measure(self, name, duration):
        """Returns the row of the requests that started while `duration()` ran."""
        number = len(self.rows) + 1
        self.load.phase = label = f"{number} {name}"
        row = Row(number, name)
        self.rows.append(row)
        calls, began = await asyncio.to_thread(self.emulators.calls), time.monotonic()
        watching = asyncio.create_task(self.watch(row))
        await duration()
        watching.cancel()
        row.seconds = time.monotonic() - began
        row.upstream_calls = await asyncio.to_thread(self.emulators.calls) - calls
        # Requests that start while these complete belong to no phase.
        self.load.phase = f"after {label}"
        await self.load.settle()
        row.outcomes = self.outcomes_of(label)
        return row

    async def watch(self, row):
        while True:
            row.memory.append(self.shoutback.status("VmRSS") / 1024)
            row.descriptors.append(self.shoutback.descriptors())
            await asyncio.sleep(0.2)

    def outcomes_of(self, *phases):
        return [outcome for outcome in self.load.outcomes if outcome.phase in phases]

    def check(self, phase, row):
        results = Counter(outcome.result for outcome in row.outcomes)
        errors = {result: count for result, count in results.items() if result not in ("200", "unauthenticated")}
        if not row.outcomes:
            self.failures.append(f"{row.title}: no request")
        if phase.outage:
            for outcome in row.outcomes:
                if outcome.result == "200" and outcome.kind != "empty" and "; hit" not in outcome.cache_status:
                    self.failures.append(f"{row.title}: a shout without a call: {outcome}")
            if unexpected := set(errors) - UNAVAILABLE:
                self.failures.append(f"{row.title}: {unexpected}")
        elif phase.some_calls_fail:
            if set(errors) - {"upstream-unavailable"}:
                self.failures.append(f"{row.title}: {errors}")
            if sum(errors.values()) > max(TOLERATED_ERRORS, len(row.outcomes) / 500):
                self.failures.append(f"{row.title}: {errors} of {len(row.outcomes)}")
        elif errors:
            self.failures.append(f"{row.title}: {errors}")

    async def settle_time(self, phase):
        """Returns the seconds until SETTLED_RESPONSES shouts in a row that need a call have succeeded."""
        if phase is CALM:
            return None
        began, since = time.monotonic(), len(self.load.outcomes)
        while True:
            recent = [o for o in self.load.outcomes[since:] if o.kind.startswith("distinct")][-SETTLED_RESPONSES:]
            if len(recent) == SETTLED_RESPONSES and all(
                outcome.result == "200" and outcome.began >= began for outcome in recent
            ):
                return time.monotonic() - began
            if time.monotonic() - began > SETTLE_SECONDS:
                results = Counter(outcome.result for outcome in recent)
                raise SystemExit(f"FAILED: {SETTLE_SECONDS} s after {phase.name}: {dict(results)}")
            await asyncio.sleep(0.05)

    async def drain(self):
        self.load.running.clear()
        await self.load.settle()

        def nothing_is_active():
            return self.shoutback.active_requests() == 0

        try:
            # The client has the response a moment before the service counts the request as done.
            await asyncio.to_thread(wait_until, "no request is active", nothing_is_active, within=5)
        except AssertionError as error:
            self.failures.append(str(error))

    async def stop_under_load(self):
        """Sends SIGTERM while requests wait for SHOUTCLOUD: accepted requests get their response."""
        self.emulators.behave(delay="200ms")
        self.load.running.set()

        async def stopping():
            await asyncio.sleep(min(2, self.phase_seconds))
            self.load.stopping = True
            self.shoutback.child.terminate()
            while self.shoutback.child.poll() is None:
                await asyncio.sleep(0.02)
            await self.load.end()

        row = await self.measure("stop", stopping)
        if self.shoutback.child.returncode != 0:
            self.failures.append(f"the exit code is {self.shoutback.child.returncode}")
        results = Counter(outcome.result for outcome in row.outcomes)
        if unexpected := set(results) - {"200", "unauthenticated", "not taken"}:
            self.failures.append(f"{row.title}: {unexpected}")

    def compare_calm_phases(self):
        calm = [row for row in self.rows if row.name == CALM.name]
        first, last = calm[0], calm[-1]
        memory, descriptors = (
            [statistics.median(getattr(row, what)) for row in (first, last)] for what in ("memory", "descriptors")
        )
        if memory[1] > memory[0] + MEMORY_GROWTH_MIB:
            self.failures.append(f"memory has grown from {memory[0]:.0f} to {memory[1]:.0f} MiB")
        if descriptors[1] > descriptors[0] + DESCRIPTOR_GROWTH:
            self.failures.append(f"descriptors have grown from {descriptors[0]:.0f} to {descriptors[1]:.0f}")

    def verdict(self):
        wrong = Counter(f"in {o.phase}: {o.wrong}" for o in self.load.outcomes if o.wrong)
        return self.failures + [f"{count} times {what}" for what, count in wrong.most_common(20)]


async def soak(seconds, rate, shoutback, emulators, network):
    load = Load(shoutback, Texts(seed=1), emulators.token(), rate)
    run = Soak(seconds, shoutback, emulators, load, Faults(emulators, network, load))
    try:
        await run.run()
    finally:
        await load.end()
    return run.rows, run.verdict()


def main():
    parser = argparse.ArgumentParser(prog="scripts/soak", description="Runs the service under load and injects faults.")
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("SOAK_SECONDS", "300")))
    parser.add_argument("--rate", type=float, default=100, help="requests per second")
    parser.add_argument("--summary", type=Path, help="file to write the summary to")
    parser.add_argument("--record", action="store_true", help="write the summary to docs/soak.md")
    arguments = parser.parse_args()

    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        emulators = stack.enter_context(Emulators(directory / "emulators"))
        network = stack.enter_context(Toxiproxy(directory / "toxiproxy")).proxy(emulators.shoutcloud)
        variables = {"SHOUTCLOUD_URL": f"http://{network.address}/V1/SHOUT"} | emulators.authentication() | VARIABLES
        shoutback = stack.enter_context(Shoutback(directory / "log", **variables))
        rows, failures = asyncio.run(soak(arguments.seconds, arguments.rate, shoutback, emulators, network))

    summary = markdown(rows, arguments.rate)
    print(summary)
    if arguments.summary:
        arguments.summary.write_text(summary)
    if failures:
        sys.exit("\n".join(["FAILED:", *failures]))
    if arguments.record:
        record(summary)


if __name__ == "__main__":
    main()
