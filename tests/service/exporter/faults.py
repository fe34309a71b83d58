"""Checks that a failing collector affects neither the latency nor the memory of the service.

Four instances run side by side: without a collector, with a working one, with one that refuses connections, and with one that
accepts every batch and never responds. They are instances in turns, so that other load on the machine affects all alike.
Prints the measurements; exits with 1 if a bound is exceeded.
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
# Far fewer spans than calls; a working collector receives them in time.
QUEUE = {
    "OTEL_BSP_MAX_QUEUE_SIZE": "256",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "64",
    "OTEL_BSP_SCHEDULE_DELAY": "20",
    "OTEL_BSP_EXPORT_TIMEOUT": "400",
}
# All spans would take 1700 KiB; those of the queue are allocated before the measurement. Measured: 60 to 580.
GROWTH_KIB = 1024
RATIO = 2.0
TEXT = b"hello"
# The headers that a span stores, with their maximum length.
LARGEST_HEADERS = {
    "x-request-id": 128 * "x",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": f"a={250 * 'x'},b={250 * 'x'}",
}


@contextlib.contextmanager
def collector(kind):
    """Yields a collector's port and a list, to which the number of its batches is appended at the end."""
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
    """Yields a reserved port that refuses connections."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


class Instance:
    """A service and the latencies of its calls."""

    def __init__(self, service):
        self.service, self.seconds = service, []
        self.connection = http.client.HTTPConnection("127.0.0.1", service.port)

    def call(self):
        started = time.perf_counter()
        self.request({})
        return time.perf_counter() - started

    def request(self, more):
        self.connection.request("POST", "/v1", TEXT, {"content-type": "text/plain"} | more)
        response = self.connection.getresponse()
        assert (response.status, response.read()) == (200, b"OLLEH"), response.status

    def call_with_largest_span(self):
        """Sends a request whose span has the maximum size."""
        self.request(LARGEST_HEADERS)

    def round(self):
        for _ in range(CALLS):
            self.seconds.append(self.call())
            self.call_with_largest_span()

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
    endpoints = {"none": None, "good": good, "closed port": stack.enter_context(refused()), "silent": silent}
    instances = {}
    for name, port in endpoints.items():
        variables = {} if port is None else QUEUE | {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
        variables["SHOUTCLOUD_URL"] = f"http://{emulators.shoutcloud}/V1/SHOUT"
        service = stack.enter_context(Shoutback(directory / f"{name}.log", **variables))
        instances[name] = Instance(service)
    # The first round warms up the cache, the allocator and the queues.
    for one in instances.values():
        one.round()
        one.seconds.clear()
    before = {name: one.memory() for name, one in instances.items()}
    turns = list(instances.values())
    for _ in range(ROUNDS):
        for one in turns:
            one.round()
        turns.append(turns.pop(0))
    return instances, before, batches


def check(instances, before):
    untraced = instances["none"].median()
    problems = []

    def expect(condition, text):
        if not condition:
            problems.append(text)

    for name, one in instances.items():
        ratio, growth = one.median() / untraced, one.memory() - before[name]
        dropped = {reason: one.dropped(reason) for reason in ("queue_full", "export_failed")}
        print(f"{name:8}  median {one.median() * 1e6:6.0f} us, {ratio:.2f} of none  growth {growth:6} KiB  dropped {dropped}")
        expect(ratio <= RATIO, f"{name}: {ratio:.2f} times the latency without a collector")
        expect(growth <= GROWTH_KIB, f"{name}: memory has grown by {growth} KiB")
    for name in ("none", "good"):
        expect(instances[name].dropped("export_failed") == 0, f"{name}: a span was not delivered")
    expect(instances["closed port"].dropped("export_failed") > 0, "closed port: no failed export was counted")
    expect(instances["silent"].dropped("queue_full") > 0, "silent: no span was counted as dropped by the full queue")
    expect(instances["silent"].dropped("export_failed") > 0, "silent: no failed export was counted")
    return problems


def main():
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        instances, before, batches = measure(Path(directory), stack)
        problems = check(instances, before)
        stack.close()
    if not batches or batches[0] == 0:
        problems.append("good: nothing was delivered")
    print(f"good      {batches[0]} batches")
    for problem in problems:
        print(f"FAILED {problem}")
    return 1 if problems else 0


sys.exit(main())
