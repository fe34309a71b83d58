"""10,000 requests that wait at once for a SHOUTCLOUD which takes five seconds: what they cost in memory.

`many_waiting.py SCENARIO`, one of `mixed`, `streams` and `one-text`. Each has a bound of its own, because what is paid for
differs: a connection of HTTP/1.1 in, one out, and the request itself.
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
    # Connections of HTTP/2, with 100 streams each. The other requests come on connections of their own.
    shared: int
    # Requests to SHOUTCLOUD: one for each text.
    texts: int
    limit_mib: int

    @property
    def alone(self):
        return REQUESTS - self.shared * STREAMS

    @property
    def descriptors(self):
        # For the connections, one for each call, and room for listeners, the log and what the runtime needs.
        return self.alone + self.shared + self.texts + 200

    def text(self, number):
        return f"request number {number % self.texts}"

    def capitals(self, number):
        return self.text(number)[::-1].upper()


# A bound is what was measured (480, 368 and 177 MiB) and about an eighth. Some 300 MiB of the first two are what 10,000 calls
# take in the HTTP client: two buffers of 8 KiB each, a channel of 9 KiB, and futures.
SCENARIOS = {
    # As from an ingress that has both.
    "mixed": Scenario(shared=10, texts=REQUESTS, limit_mib=540),
    "streams": Scenario(shared=100, texts=REQUESTS, limit_mib=420),
    # They share one call.
    "one-text": Scenario(shared=10, texts=1, limit_mib=200),
}

# Of connections being opened: more than the listener's backlog would be tried again only after a second.
OPENING = 500

VARIABLES = {
    "MAX_CONNECTIONS": "12000",
    "SHOUTCLOUD_MAX_CONCURRENCY": str(REQUESTS),
    # The first request waits for the last to come, which a busy machine may take long to send.
    "SHOUTCLOUD_ATTEMPT_TIMEOUT": "30s",
    "SHOUTCLOUD_DEADLINE": "40s",
    "REQUEST_TIMEOUT": "60s",
    "BREAKER_SLOW_CALL": "30s",
    # All connections are opened before the first request is sent.
    "HEADER_READ_TIMEOUT": "1m",
    # One retry would be a call too many for the upstream to count.
    "SHOUTCLOUD_MAX_RETRIES": "0",
}


def raise_descriptors(wanted):
    """Raises the soft limit of this process and its children. The bounds hold for 10,000 requests only, so there are not fewer of them
    where the hard limit is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        sys.exit(
            f"error: {wanted:,} open files are needed, and the hard limit of this user is {hard:,}. "
            "As root, `ulimit -n 20000` raises it for a shell; for a login, `nofile` in /etc/security/limits.conf does"
        )
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Alone(asyncio.Protocol):
    """A connection for one request. `answer` is all that came until its end."""

    def __init__(self):
        self.received, self.answer = b"", asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.received += data

    def connection_lost(self, error):
        if error:
            self.answer.set_exception(error)
        else:
            self.answer.set_result(self.received)


async def connect(port, opening):
    async with opening:
        _, connection = await asyncio.get_running_loop().create_connection(Alone, "127.0.0.1", port)
    return connection


async def shout_alone(connection, token, text):
    body = json.dumps({"data": text}).encode()
    head = (
        f"POST /v1 HTTP/1.1\r\nhost: shoutback\r\nauthorization: Bearer {token}\r\nconnection: close\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    connection.transport.write(head.encode() + body)
    head, _, body = (await connection.answer).partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), body


async def shout_in_stream(connection, token, text):
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    body = json.dumps({"data": text}).encode()
    status, _, body = await connection.post("/v1", headers, body)
    return status, body


async def all_at_once(scenario, shoutback, token, all_came):
    """Every answer; the most requests that were active at once, and the memory then; the answers of /livez meanwhile."""
    opening = asyncio.Semaphore(OPENING)
    own = await asyncio.gather(*(connect(shoutback.port, opening) for _ in range(scenario.alone)))
    shared = [await Http2.connect("127.0.0.1", shoutback.port) for _ in range(scenario.shared)]
    texts = [scenario.text(number) for number in range(REQUESTS)]
    requests = [shout_alone(connection, token, texts[number]) for number, connection in enumerate(own)]
    requests += [
        shout_in_stream(shared[number % scenario.shared], token, texts[number]) for number in range(scenario.alone, REQUESTS)
    ]
    shouting = asyncio.gather(*requests)
    most, waiting, livez = 0, 0, []
    while not shouting.done():
        active = await asyncio.to_thread(shoutback.active_requests)
        if active >= most:
            most, waiting = active, shoutback.status("VmRSS")
        if active == REQUESTS:
            all_came()
        livez.append(await asyncio.to_thread(shoutback.is_live))
        await asyncio.wait([shouting], timeout=0.1)
    for connection in shared:
        connection.close()
    return await shouting, most, waiting, livez


@contextlib.contextmanager
def slow_upstream(calls):
    """Its URL, and what to call when every request has come to the service: not all of them need come to the upstream."""
    command = [sys.executable, Path(__file__).with_name("upstream.py"), str(DELAY_SECONDS), str(calls)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:

        def all_came():
            process.stdin.write(b"\n")
            process.stdin.flush()

        yield f"http://127.0.0.1:{json.loads(process.stdout.readline())}/V1/SHOUT", all_came
        process.stdin.close()


def main():
    name = sys.argv[1]
    scenario = SCENARIOS[name]
    raise_descriptors(scenario.descriptors)
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        emulators = stack.enter_context(Emulators(directory / "emulators"))
        upstream, all_came = stack.enter_context(slow_upstream(scenario.texts))
        variables = emulators.authentication() | VARIABLES | {"SHOUTCLOUD_URL": upstream}
        shoutback = stack.enter_context(Shoutback(directory / "log", **variables))
        before = shoutback.status("VmRSS")
        answers, most, waiting, livez = asyncio.run(all_at_once(scenario, shoutback, emulators.token(), all_came))
        peak = shoutback.status("VmHWM")

    statuses = {}
    for number, (status, body) in enumerate(answers):
        statuses[status] = statuses.get(status, 0) + 1
        if status == 200 and json.loads(body) != {"data": scenario.capitals(number)}:
            sys.exit(f"FAILED: request {number} got another one's answer: {body}")
    print(
        f"{name}: {REQUESTS} requests: statuses {statuses}, at most {most:.0f} at once; "
        f"/livez {livez.count(True)} of {len(livez)}; "
        f"resident {before / 1024:.0f} MiB before, {waiting / 1024:.0f} MiB while all waited, {peak / 1024:.0f} MiB at most, "
        f"{(peak - before) * 1024 / REQUESTS:.0f} B a request"
    )
    failures = []
    if statuses != {200: REQUESTS}:
        failures.append("not every answer is 200")
    if most != REQUESTS:
        failures.append(f"the service never had {REQUESTS} requests at once")
    if not all(livez):
        failures.append("/livez did not answer all the time")
    if peak > scenario.limit_mib * 1024:
        failures.append(f"more than {scenario.limit_mib} MiB")
    if failures:
        sys.exit("FAILED: " + "; ".join(failures))


main()
