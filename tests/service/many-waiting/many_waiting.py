"""Measures the memory of 10,000 requests that wait at once for a SHOUTCLOUD with a latency of five seconds.

`many_waiting.py SCENARIO` runs `mixed`, `streams` or `one-text`. Each has its own bound, because they differ in the connections from
clients and to SHOUTCLOUD.
"""

import asyncio
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.http2 import Http2
from harness.shoutback import Emulators, Shoutback

REQUESTS = 10_000
STREAMS = 100
DELAY_SECONDS = 5


@dataclass
class Scenario:
    # HTTP/2 connections with 100 streams each. The other requests have one connection each.
    multiplexed: int
    # Distinct texts, each of which needs one call to SHOUTCLOUD.
    texts: int
    limit_mib: int

    @property
    def single(self):
        return REQUESTS - self.multiplexed * STREAMS

    @property
    def descriptors(self):
        # Connections of clients, one per call, and some for listeners, the log and the runtime.
        return self.single + self.multiplexed + self.texts + 200

    def text(self, number):
        return f"request number {number % self.texts}"

    def expected(self, number):
        return self.text(number)[::-1].upper()


# The bounds are the measured values (426, 309 and 182 MiB) plus about an eighth. Each connection, of a client or to SHOUTCLOUD, has a read
# buffer of 8 KiB while its request waits.
SCENARIOS = {
    # As from an ingress with HTTP/1.1 and HTTP/2.
    "mixed": Scenario(multiplexed=10, texts=REQUESTS, limit_mib=480),
    "streams": Scenario(multiplexed=100, texts=REQUESTS, limit_mib=350),
    # They share one call.
    "one-text": Scenario(multiplexed=10, texts=1, limit_mib=205),
}

# Connections that are opened at once: SYNs beyond the listener's backlog are retransmitted only after a second.
MAX_CONNECTING = 500

VARIABLES = {
    "MAX_CONNECTIONS": "12000",
    "SHOUTCLOUD_MAX_CONCURRENCY": str(REQUESTS),
    # The first request waits for the last, which a busy machine may send late.
    "SHOUTCLOUD_ATTEMPT_TIMEOUT": "30s",
    "SHOUTCLOUD_DEADLINE": "40s",
    "REQUEST_TIMEOUT": "60s",
    "BREAKER_SLOW_CALL": "30s",
    # All connections are opened before the first request is sent.
    "HEADER_READ_TIMEOUT": "1m",
    # A retry would disturb the upstream's count of calls.
    "SHOUTCLOUD_MAX_RETRIES": "0",
}


def raise_descriptors(number):
    """Raises the soft limit of this process and its children. Exits if the hard limit is too low, because the bounds hold only for 10,000
    requests."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < number:
        sys.exit(
            f"error: {number:,} open files are needed, but the hard limit of this user is {hard:,}. "
            "As root, `ulimit -n 20000` raises it for a shell; for a login, `nofile` in /etc/security/limits.conf does"
        )
    if soft != resource.RLIM_INFINITY and soft < number:
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))


class SingleRequest(asyncio.Protocol):
    """A connection for one request. `response` is everything that was received until its end."""

    def __init__(self):
        self.received, self.response = b"", asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.received += data

    def connection_lost(self, error):
        if error:
            self.response.set_exception(error)
        else:
            self.response.set_result(self.received)


async def connect(port, connecting):
    async with connecting:
        _, connection = await asyncio.get_running_loop().create_connection(SingleRequest, "127.0.0.1", port)
    return connection


async def shout_on_connection(connection, token, text):
    body = json.dumps({"data": text}).encode()
    head = (
        f"POST /v1 HTTP/1.1\r\nhost: shoutback\r\nauthorization: Bearer {token}\r\nconnection: close\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    connection.transport.write(head.encode() + body)
    head, _, body = (await connection.response).partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), body


async def shout_in_stream(connection, token, text):
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    body = json.dumps({"data": text}).encode()
    status, _, body = await connection.post("/v1", headers, body)
    return status, body


async def all_at_once(scenario, shoutback, token, all_arrived):
    """Sends all requests. Returns the responses, the peak of active requests with the memory then, and the results of /livez."""
    connecting = asyncio.Semaphore(MAX_CONNECTING)
    single = await asyncio.gather(*(connect(shoutback.port, connecting) for _ in range(scenario.single)))
    multiplexed = [await Http2.connect("127.0.0.1", shoutback.port) for _ in range(scenario.multiplexed)]
    texts = [scenario.text(number) for number in range(REQUESTS)]
    requests = [shout_on_connection(connection, token, texts[number]) for number, connection in enumerate(single)]
    requests += [
        shout_in_stream(multiplexed[number % scenario.multiplexed], token, texts[number]) for number in range(scenario.single, REQUESTS)
    ]
    shouting = asyncio.gather(*requests)
    most, waiting, livez = 0, 0, []
    while not shouting.done():
        active = await asyncio.to_thread(shoutback.active_requests)
        if active >= most:
            most, waiting = active, shoutback.status("VmRSS")
        if active == REQUESTS:
            all_arrived()
        livez.append(await asyncio.to_thread(shoutback.is_live))
        await asyncio.wait([shouting], timeout=0.1)
    for connection in multiplexed:
        connection.close()
    return await shouting, most, waiting, livez


@contextlib.contextmanager
def slow_upstream(calls):
    """Yields the upstream's URL, and a function to call when all requests have arrived at the service: coalesced ones need no call."""
    command = [sys.executable, Path(__file__).with_name("upstream.py"), str(DELAY_SECONDS), str(calls)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:

        def all_arrived():
            process.stdin.write(b"\n")
            process.stdin.flush()

        yield f"http://127.0.0.1:{json.loads(process.stdout.readline())}/V1/SHOUT", all_arrived
        process.stdin.close()


def main():
    name = sys.argv[1]
    scenario = SCENARIOS[name]
    raise_descriptors(scenario.descriptors)
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        emulators = stack.enter_context(Emulators(directory / "emulators"))
        upstream, all_arrived = stack.enter_context(slow_upstream(scenario.texts))
        variables = emulators.authentication() | VARIABLES | {"SHOUTCLOUD_URL": upstream}
        shoutback = stack.enter_context(Shoutback(directory / "log", **variables))
        before = shoutback.status("VmRSS")
        responses, most, waiting, livez = asyncio.run(all_at_once(scenario, shoutback, emulators.token(), all_arrived))
        peak = shoutback.status("VmHWM")

    statuses = {}
    for number, (status, body) in enumerate(responses):
        statuses[status] = statuses.get(status, 0) + 1
        if status == 200 and json.loads(body) != {"data": scenario.expected(number)}:
            sys.exit(f"FAILED: request {number} got the response of another one: {body}")
    print(
        f"{name}: {REQUESTS} requests: statuses {statuses}, at most {most:.0f} at once; "
        f"/livez {livez.count(True)} of {len(livez)}; "
        f"resident {before / 1024:.0f} MiB before, {waiting / 1024:.0f} MiB while all waited, {peak / 1024:.0f} MiB peak, "
        f"{(peak - before) * 1024 / REQUESTS:.0f} B per request"
    )
    failures = []
    if statuses != {200: REQUESTS}:
        failures.append("not every status is 200")
    if most != REQUESTS:
        failures.append(f"the service never had {REQUESTS} requests at once")
    if not all(livez):
        failures.append("/livez did not respond all the time")
    if peak > scenario.limit_mib * 1024:
        failures.append(f"more than {scenario.limit_mib} MiB")
    if failures:
        sys.exit("FAILED: " + "; ".join(failures))


main()
