"""10,000 requests that wait at once for a SHOUTCLOUD which takes five seconds: what they cost in memory.

9,000 of them come on connections of their own and 1,000 on ten of HTTP/2, as from an ingress that has both; so the process
that is measured does with 20,000 descriptors, of which each call upstream takes one more.
"""

import asyncio
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from harness.http2 import Http2
from harness.shoutback import Emulators, Shoutback

ALONE, CONNECTIONS, STREAMS = 9_000, 10, 100
REQUESTS = ALONE + CONNECTIONS * STREAMS
DELAY_SECONDS = 5
LIMIT_MIB = 200

# For each request that waits one to the upstream; and room for listeners, the log and what the runtime needs.
DESCRIPTORS = ALONE + CONNECTIONS + REQUESTS + 200

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


def raise_descriptors():
    """For this process and its children."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS:
        sys.exit(f"error: {DESCRIPTORS} descriptors are needed and the hard limit is {hard}: raise it (`ulimit -Hn`)")
    if soft != resource.RLIM_INFINITY and soft < DESCRIPTORS:
        resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))


def text(number):
    return f"request number {number}"


def capitals(number):
    return text(number)[::-1].upper()


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


async def shout_alone(connection, token, number):
    body = json.dumps({"data": text(number)}).encode()
    head = (
        f"POST /v1 HTTP/1.1\r\nhost: shoutback\r\nauthorization: Bearer {token}\r\nconnection: close\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    connection.transport.write(head.encode() + body)
    head, _, body = (await connection.answer).partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), body


async def shout_in_stream(connection, token, number):
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    body = json.dumps({"data": text(number)}).encode()
    status, _, body = await connection.post("/v1", headers, body)
    return status, body


async def all_at_once(shoutback, token):
    """Every answer; the most requests that were active at once, and the memory then; the answers of /livez meanwhile."""
    opening = asyncio.Semaphore(OPENING)
    own = await asyncio.gather(*(connect(shoutback.port, opening) for _ in range(ALONE)))
    shared = [await Http2.connect("127.0.0.1", shoutback.port) for _ in range(CONNECTIONS)]
    requests = [shout_alone(own[number], token, number) for number in range(ALONE)]
    requests += [shout_in_stream(shared[number % CONNECTIONS], token, number) for number in range(ALONE, REQUESTS)]
    shouting = asyncio.gather(*requests)
    most, waiting, livez = 0, 0, []
    while not shouting.done():
        active = await asyncio.to_thread(shoutback.active_requests)
        if active >= most:
            most, waiting = active, shoutback.status("VmRSS")
        livez.append(await asyncio.to_thread(shoutback.is_live))
        await asyncio.wait([shouting], timeout=0.1)
    for connection in shared:
        connection.close()
    return await shouting, most, waiting, livez


@contextlib.contextmanager
def slow_upstream():
    command = [sys.executable, Path(__file__).with_name("upstream.py"), str(DELAY_SECONDS), str(REQUESTS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield f"http://127.0.0.1:{json.loads(process.stdout.readline())}/V1/SHOUT"
        process.stdin.close()


def main():
    raise_descriptors()
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        emulators = stack.enter_context(Emulators(directory / "emulators"))
        upstream = stack.enter_context(slow_upstream())
        variables = emulators.authentication() | VARIABLES | {"SHOUTCLOUD_URL": upstream}
        shoutback = stack.enter_context(Shoutback(directory / "log", **variables))
        before = shoutback.status("VmRSS")
        answers, most, waiting, livez = asyncio.run(all_at_once(shoutback, emulators.token()))
        peak = shoutback.status("VmHWM")

    statuses = {}
    for number, (status, body) in enumerate(answers):
        statuses[status] = statuses.get(status, 0) + 1
        if status == 200 and json.loads(body) != {"data": capitals(number)}:
            sys.exit(f"FAILED: request {number} got another one's answer: {body}")
    print(
        f"{REQUESTS} requests: statuses {statuses}, at most {most:.0f} at once; /livez {livez.count(True)} of {len(livez)}; "
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
    if peak > LIMIT_MIB * 1024:
        failures.append(f"more than {LIMIT_MIB} MiB")
    if failures:
        sys.exit("FAILED: " + "; ".join(failures))


main()
