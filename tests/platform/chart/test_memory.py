"""The service stays below the chart's memory limit under the load that its configuration admits."""

import asyncio
import json

import pytest
from rendering import ci

from harness.shoutback import Shoutback

CONFIG = {
    "MAX_REQUESTS_IN_FLIGHT": 400,
    "MAX_CONNECTIONS": 500,
    "SHOUTCLOUD_MAX_CONCURRENCY": 40,
    "SHOUTCLOUD_MAX_QUEUE": 1000,
    "SHOUTCLOUD_MAX_RETRIES": 0,
    # No request is to end by time.
    "SHOUTCLOUD_ATTEMPT_TIMEOUT": "4m",
    "SHOUTCLOUD_DEADLINE": "5m",
    "BREAKER_SLOW_CALL": "4m",
    "REQUEST_TIMEOUT": "6m",
}
MIB = 1024


def limit_kib(**config):
    # Otherwise the request could be the limit.
    rendering = ci("development").but({"config": CONFIG | config, "resources": {"requests": {"memory": "1Mi"}}})
    return int(rendering.container["resources"]["limits"]["memory"].removesuffix("Mi")) * MIB


class Upstream:
    """A SHOUTCLOUD that responds to each call with everything but the last byte, with every character escaped, and then stalls."""

    async def __aenter__(self):
        self.stalled, self.tasks = 0, set()
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=1000)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        for task in self.tasks:
            task.cancel()

    async def serve(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].split("\r\n")[0])
        sent = json.loads(await reader.readexactly(length))["INPUT"]
        body = json.dumps({"INPUT": sent, "OUTPUT": sent.upper()}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body[:-1])
        await writer.drain()
        self.stalled += 1
        await asyncio.Event().wait()


async def post(port, body, connections):
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    connections.append(writer)
    writer.write(b"POST /v1 HTTP/1.1\r\nhost: a\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()


async def crowd(service, upstream, size, character):
    """Sends as many requests as are admitted, each with its own text, and waits until all of them and their calls are stalled."""
    connections, most = [], CONFIG["MAX_REQUESTS_IN_FLIGHT"]
    bodies = (f"{number:05}".encode() + character * (size - 5) for number in range(most))
    for body in bodies:
        await post(service.port, body, connections)

    def stalled():
        return service.active_requests() == most and upstream.stalled == CONFIG["SHOUTCLOUD_MAX_CONCURRENCY"]

    while not await asyncio.to_thread(stalled):
        await asyncio.sleep(0.1)
    for writer in connections:
        writer.close()


@pytest.mark.parametrize("character", [b"a", b"\x01"], ids=["plain", "escaped"])
@pytest.mark.parametrize(("size", "bytes"), [("64KiB", 1 << 16), ("256KiB", 1 << 18)])
def test_all_that_is_admitted_fits_into_the_limit(tmp_path, size, bytes, character):
    limit = limit_kib(MAX_BODY_BYTES=size)

    async def measured():
        async with Upstream() as upstream:
            url = f"http://127.0.0.1:{upstream.port}/V1/SHOUT"
            variables = {name: str(value) for name, value in CONFIG.items()} | {"MAX_BODY_BYTES": size, "SHOUTCLOUD_URL": url}
            with Shoutback(tmp_path / "log", **variables) as service:
                await asyncio.wait_for(crowd(service, upstream, bytes, character), 120)
                return service.status("VmHWM")

    peak = asyncio.run(measured())
    assert peak < limit, f"{peak / MIB:.0f} MiB of {limit / MIB:.0f}"
    # Otherwise the load would prove nothing.
    assert peak > CONFIG["MAX_REQUESTS_IN_FLIGHT"] * bytes / 1024


def test_the_limit_follows_each_bound():
    base = limit_kib()
    for name, value, more in (
        ("CACHE_CAPACITY", "1056MiB", 1024),
        ("MAX_CONNECTIONS", 500 + 128 * 1024, 1024),
        ("MAX_REQUESTS_IN_FLIGHT", 400 + 1024, 32 + 3 * 64),
        ("SHOUTCLOUD_MAX_CONCURRENCY", 40 + 1024, 64 + 20 * 64),
        ("MAX_BODY_BYTES", "1MiB", (400 * 3 + 40 * 20) * 960 // 1024),
    ):
        assert abs(limit_kib(**{name: value}) - base - more * MIB) <= MIB, name
