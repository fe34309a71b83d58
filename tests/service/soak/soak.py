"""The soak: a steady load of mixed requests while faults come and go, and what consumers, memory and descriptors show of it.

docs/operations.md says how to read what it prints.
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
    # A phase may last no more than seconds: what the defaults remember for half a minute would reach into the next ones.
    "BREAKER_WINDOW": "5s",
    "BREAKER_OPEN_FOR": "1s",
    # Full, and stale, within the first phases. What is larger costs no more once it is full.
    "CACHE_CAPACITY": "4MiB",
    "CACHE_TTL": "3s",
}

# Allocators keep what the largest crowd of waiting requests has needed: half-open connections gather 256 of them, each of some
# 70 KiB, which is 18 MiB; the cache and what it needs besides its texts are the rest. In five minutes a leak of 2 KiB a request
# is far beyond it.
MEMORY_GROWTH_MIB = 32

# Connections to SHOUTCLOUD stay in the pool for a minute and a half after the crowd that needed them.
DESCRIPTOR_GROWTH = 128

# Of a calm service, how long it may take until consumers see none of a fault that is over.
SETTLE_SECONDS = 30
SETTLED_ANSWERS = 20

# Below it, the machine was too busy for the figures to mean anything.
LEAST_RATE = 50

# Four attempts leave one error in 10,000 where a tenth of them fails; a short run may have bad luck twice.
FORGIVEN = 2


class Soak:
    def __init__(self, seconds, shoutback, emulators, load, faults):
        self.phase_seconds = seconds / (len(SCHEDULE) + 1)
        self.shoutback, self.emulators, self.load, self.faults = shoutback, emulators, load, faults
        self.rows, self.failures = [], []

    async def run(self):
        began = time.monotonic()
        self.load.running.set()
        for phase in SCHEDULE:
            await self.go_through(phase)
        paced = time.monotonic() - began
        await self.come_to_rest()
        rate = len(self.load.outcomes) / paced
        if rate < LEAST_RATE:
            self.failures.append(f"only {rate:.0f} requests a second were made")
        await self.stop_under_load()
        self.compare_calm_phases()

    async def go_through(self, phase):
        """Switches its fault on, waits until nothing from before is under way, and judges what follows."""
        into, out_of = (f"{way} {len(self.rows) + 1} {phase.name}" for way in ("into", "out of"))
        with self.faults.of(phase) as fault:
            self.load.phase = into
            await self.load.settle()
            row = await self.measure(phase.name, lambda: self.last(fault))
            self.load.phase = out_of
        self.judge(phase, row)
        row.settled = await self.settled(phase)
        for outcome in self.taken(into, out_of):
            allowed = {"200", "unauthenticated"} | (UNAVAILABLE if phase.outage or phase.some_calls_fail else set())
            if outcome.result not in allowed:
                self.failures.append(f"around {phase.name}: {outcome.result} ({outcome.kind}, {outcome.transport})")

    async def last(self, fault):
        """A phase's time."""
        until = time.monotonic() + self.phase_seconds
        while (rest := until - time.monotonic()) > 0:
            await asyncio.sleep(min(rest, 0.5))
            if isinstance(fault, Toxic) and fault.toxicity < 1:
                # Connections that were spared would serve all requests from then on.
                fault.resample()

    async def measure(self, name, lasting):
        """The row of what was begun while `lasting()` ran."""
        number = len(self.rows) + 1
        self.load.phase = label = f"{number} {name}"
        row = Row(number, name)
        self.rows.append(row)
        calls, began = await asyncio.to_thread(self.emulators.calls), time.monotonic()
        watching = asyncio.create_task(self.watch(row))
        await lasting()
        watching.cancel()
        row.seconds = time.monotonic() - began
        row.upstream_calls = await asyncio.to_thread(self.emulators.calls) - calls
        # Only what has ended can be judged; what comes after belongs to no phase.
        self.load.phase = f"after {label}"
        await self.load.settle()
        row.outcomes = self.taken(label)
        return row

    async def watch(self, row):
        while True:
            row.memory.append(self.shoutback.status("VmRSS") / 1024)
            row.descriptors.append(self.shoutback.descriptors())
            await asyncio.sleep(0.2)

    def taken(self, *phases):
        return [outcome for outcome in self.load.outcomes if outcome.phase in phases]

    def judge(self, phase, row):
        results = Counter(outcome.result for outcome in row.outcomes)
        errors = {result: count for result, count in results.items() if result not in ("200", "unauthenticated")}
        if not row.outcomes:
            self.failures.append(f"{row.title}: no request")
        if phase.outage:
            for outcome in row.outcomes:
                if outcome.result == "200" and outcome.kind != "empty" and "; hit" not in outcome.cache_status:
                    self.failures.append(f"{row.title}: a shout out of nowhere: {outcome}")
            if unexpected := set(errors) - UNAVAILABLE:
                self.failures.append(f"{row.title}: {unexpected}")
        elif phase.some_calls_fail:
            if set(errors) - {"upstream-unavailable"}:
                self.failures.append(f"{row.title}: {errors}")
            if sum(errors.values()) > max(FORGIVEN, len(row.outcomes) / 500):
                self.failures.append(f"{row.title}: {errors} of {len(row.outcomes)}")
        elif errors:
            self.failures.append(f"{row.title}: {errors}")

    async def settled(self, phase):
        """Seconds until shouts that need a call have succeeded for a while."""
        if phase is CALM:
            return None
        began, since = time.monotonic(), len(self.load.outcomes)
        while True:
            recent = [o for o in self.load.outcomes[since:] if o.kind.startswith("distinct")][-SETTLED_ANSWERS:]
            if len(recent) == SETTLED_ANSWERS and all(
                outcome.result == "200" and outcome.began >= began for outcome in recent
            ):
                return time.monotonic() - began
            if time.monotonic() - began > SETTLE_SECONDS:
                last = Counter(outcome.result for outcome in recent)
                raise SystemExit(f"FAILED: {SETTLE_SECONDS} s after {phase.name}: {dict(last)}")
            await asyncio.sleep(0.05)

    async def come_to_rest(self):
        self.load.running.clear()
        await self.load.settle()

        def nothing_is_active():
            return self.shoutback.active_requests() == 0

        try:
            # The end of an answer is here a moment before the request is counted as done there.
            await asyncio.to_thread(wait_until, "no request is active", nothing_is_active, within=5)
        except AssertionError as error:
            self.failures.append(str(error))

    async def stop_under_load(self):
        """SIGTERM while requests wait for SHOUTCLOUD: what was taken is answered."""
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
    parser = argparse.ArgumentParser(prog="scripts/soak", description="Runs the service under load and faults.")
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("SOAK_SECONDS", "300")))
    parser.add_argument("--rate", type=float, default=100, help="requests a second")
    parser.add_argument("--summary", type=Path, help="a file that the summary is written to")
    parser.add_argument("--record", action="store_true", help="put the summary into docs/operations.md")
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
