"""Runs h2spec against the public listener: cleartext HTTP/2 with prior knowledge, as an ingress uses it.

A server may respond before a request is complete (RFC 9113 section 8.1), and the service responds within microseconds. Many tests
send an error after the headers of a request and expect it to be detected: they fail at random if the response was sent before. So
a proxy forwards in one piece what h2spec writes at once, and the service has one thread, which reads all of it before it responds.
"""

import asyncio
import contextlib
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from harness.shoutback import Shoutback

KNOWN_FAILURES = Path(__file__).with_name("known-failures")

# The number of tests of h2spec 2.2.1; a report with fewer is incomplete.
TESTS = 145

# Longer than h2spec's pause between two frames, shorter than its timeout.
PAUSE = 0.02


async def forward_batched(source, sink):
    """Forwards the received data after a pause without more data."""
    pending = b""
    with contextlib.suppress(ConnectionError):
        while True:
            try:
                data = await asyncio.wait_for(source.read(65536), PAUSE if pending else None)
            except asyncio.TimeoutError:
                sink.write(pending)
                pending = b""
                continue
            pending += data
            if not data:
                sink.write(pending)
                break
    sink.close()


async def forward(source, sink):
    with contextlib.suppress(ConnectionError):
        while data := await source.read(65536):
            sink.write(data)
    sink.close()


async def h2spec(port, report):
    """Runs h2spec against `port`. Returns its exit code and output."""

    async def connected(client, to_client):
        server, to_server = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(forward_batched(client, to_server), forward(server, to_client))

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as proxy:
        proxy_port = proxy.sockets[0].getsockname()[1]
        # A path without authentication.
        arguments = ["-h", "127.0.0.1", "-p", str(proxy_port), "--path", "/docs", "-j", str(report)]
        process = await asyncio.create_subprocess_exec(
            "h2spec", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
    return process.returncode, output.decode()


def known_failures():
    lines = KNOWN_FAILURES.read_text().splitlines()
    return {line.split()[0] for line in lines if line and not line.startswith("#")}


def results(report):
    """Yields section and number, result and title of each test."""
    for suite in ElementTree.parse(report).getroot():
        for number, test in enumerate(suite.iter("testcase"), start=1):
            yield f"{suite.get('package')}/{number}", len(test) == 0, test.get("classname")


def deviations(results, known):
    """Yields deviations from the expected results."""
    known, count = set(known), 0
    for identifier, passed, title in results:
        count += 1
        if passed and identifier in known:
            yield f"{identifier} passes now, remove it from {KNOWN_FAILURES.name}: {title}"
        elif not passed and identifier not in known:
            yield f"{identifier} fails: {title}"
        known.discard(identifier)
    for identifier in known:
        yield f"{identifier} is in {KNOWN_FAILURES.name} but is not a test"
    if count != TESTS:
        yield f"{count} tests were run, not {TESTS}"


def main():
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        with Shoutback(Path(directory) / "log", TOKIO_WORKER_THREADS="1") as shoutback:
            code, output = asyncio.run(h2spec(shoutback.port, report))
            assert shoutback.is_live(), shoutback.output()
        if not report.exists():
            sys.exit(f"h2spec ended with {code}:\n{output}")
        wrong = list(deviations(results(report), known_failures()))
    if wrong:
        sys.exit("\n".join([output, *wrong]))
    print(f"ok: {TESTS} tests, as expected")


main()
