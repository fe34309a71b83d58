"""What a collector costs whoever calls the service: nothing, in whatever state the collector is.

Four services run side by side: without a collector, with a good one, with one that refuses connections, and with one that
takes every batch and never answers. They are called in turns, so that whatever else this machine does falls on all of them.
Prints what was measured; exits 1 if a bound does not hold.
"""

import contextlib
import http.client
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness.shoutback import Emulators, Shoutback

ROUNDS = 8
CALLS = 120
# Far less than all the calls, and sent in time to a collector that takes them.
QUEUE = {
    "OTEL_BSP_MAX_QUEUE_SIZE": "256",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "64",
    "OTEL_BSP_SCHEDULE_DELAY": "20",
    "OTEL_BSP_EXPORT_TIMEOUT": "400",
}
# All spans would take 1700; the queue's are there before this is measured. What was measured is 60 to 580.
GROWTH_KIB = 1024
RATIO = 2.0
TEXT = b"hello"
# What a caller can make a span keep: everything as long as it may be.
FILLING = {
    "x-request-id": 128 * "x",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": f"a={250 * 'x'},b={250 * 'x'}",
}


@contextlib.contextmanager
def collector(kind):
    """A collector's port; afterwards the list has how many batches came."""
    script = Path(__file__).parent / "collector.py"
    child = subprocess.Popen([sys.executable, script, kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    batches = []
    try:
        yield json.loads(child.stdout.readline()), batches
        batches.append(json.loads(child.communicate()[0]))
    finally:
        child.kill()
        child.wait()


@contextlib.contextmanager
def refused():
    """A port that nobody else can have and that refuses connections."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


class Called:
    """A service and the times that its calls took."""

    def __init__(self, service):
        self.service, self.seconds = service, []
        self.connection = http.client.HTTPConnection("127.0.0.1", service.port)

    def call(self):
        began = time.perf_counter()
        self.ask({})
        return time.perf_counter() - began

    def ask(self, more):
        self.connection.request("POST", "/v1", TEXT, {"content-type": "text/plain"} | more)
        answer = self.connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"OLLEH"), answer.status

    def fill(self):
        """A span that takes as much memory as one can."""
        self.ask(FILLING)

    def round(self):
        for _ in range(CALLS):
            self.seconds.append(self.call())
            self.fill()

    def median(self):
        return statistics.median(self.seconds)

    def memory(self):
        return self.service.status("VmRSS")

    def dropped(self, reason):
        return self.service.metric("shoutback_otlp_spans_dropped_total", reason=reason)


def measure(directory, stack):
    emulators = stack.enter_context(Emulators(directory / "emulators.log"))
    good, batches = stack.enter_context(collector("good"))
    silent, _ = stack.enter_context(collector("silent"))
    endpoints = {"none": None, "good": good, "refusing": stack.enter_context(refused()), "silent": silent}
    called = {}
    for name, port in endpoints.items():
        variables = {} if port is None else QUEUE | {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
        variables["SHOUTCLOUD_URL"] = f"http://{emulators.shoutcloud}/V1/SHOUT"
        service = stack.enter_context(Shoutback(directory / f"{name}.log", **variables))
        called[name] = Called(service)
    # The first round fills the cache, the allocator and the queues.
    for one in called.values():
        one.round()
        one.seconds.clear()
    before = {name: one.memory() for name, one in called.items()}
    turns = list(called.values())
    for _ in range(ROUNDS):
        for one in turns:
            one.round()
        turns.append(turns.pop(0))
    return called, before, batches


def judge(called, before):
    untraced = called["none"].median()
    problems = []

    def expect(holds, text):
        if not holds:
            problems.append(text)

    for name, one in called.items():
        ratio, growth = one.median() / untraced, one.memory() - before[name]
        dropped = {reason: one.dropped(reason) for reason in ("queue_full", "export_failed")}
        print(f"{name:8}  median {one.median() * 1e6:6.0f} us, {ratio:.2f} of none  grown {growth:6} KiB  dropped {dropped}")
        expect(ratio <= RATIO, f"{name}: {ratio:.2f} times as slow as without a collector")
        expect(growth <= GROWTH_KIB, f"{name}: has grown by {growth} KiB")
    for name in ("none", "good"):
        expect(called[name].dropped("export_failed") == 0, f"{name}: a span was not delivered")
    expect(called["refusing"].dropped("export_failed") > 0, "refusing: no failed export was counted")
    expect(called["silent"].dropped("queue_full") > 0, "silent: no span was counted that found no room")
    expect(called["silent"].dropped("export_failed") > 0, "silent: no late answer was counted")
    return problems


def main():
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        called, before, batches = measure(Path(directory), stack)
        problems = judge(called, before)
        stack.close()
    if not batches or batches[0] == 0:
        problems.append("good: nothing was delivered")
    print(f"good      {batches[0]} batches")
    for problem in problems:
        print(f"FAILED {problem}")
    return 1 if problems else 0


sys.exit(main())
