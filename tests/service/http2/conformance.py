"""h2spec against the public listener: cleartext HTTP/2 with prior knowledge, as an ingress speaks it.

A server may answer before a request is whole (RFC 9113 section 8.1), and ours answers everything that h2spec sends in
microseconds. Many of its tests send a fault behind the head of a request and expect it to be found: if the answer is out by
then, they fail, by chance. So what h2spec writes in one go reaches the service in one piece, and the service has one thread,
which reads all of it before it answers any.
"""

import asyncio
import contextlib
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from harness.shoutback import Shoutback

KNOWN_FAILURES = Path(__file__).with_name("known-failures")

# h2spec 2.2.1 has so many; a report with fewer proves less.
TESTS = 145

# Far more than h2spec needs between two frames, far less than it waits for an answer.
PAUSE = 0.02


async def gather(source, sink):
    """Passes on what comes as soon as nothing more has come for a moment."""
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


async def pass_on(source, sink):
    with contextlib.suppress(ConnectionError):
        while data := await source.read(65536):
            sink.write(data)
    sink.close()


async def h2spec(port, report):
    """Runs it against `port`; its exit code and what it printed."""

    async def connected(client, to_client):
        server, to_server = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(gather(client, to_server), pass_on(server, to_client))

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as between:
        through = between.sockets[0].getsockname()[1]
        # A page: h2spec knows no tokens.
        arguments = ["-h", "127.0.0.1", "-p", str(through), "--path", "/docs", "-j", str(report)]
        running = await asyncio.create_subprocess_exec(
            "h2spec", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        printed, _ = await running.communicate()
    return running.returncode, printed.decode()


def known_failures():
    lines = KNOWN_FAILURES.read_text().splitlines()
    return {line.split()[0] for line in lines if line and not line.startswith("#")}


def results(report):
    """Each test's section and number, whether it has passed, and its title."""
    for suite in ElementTree.parse(report).getroot():
        for number, test in enumerate(suite.iter("testcase"), start=1):
            yield f"{suite.get('package')}/{number}", len(test) == 0, test.get("classname")


def verdict(results, known):
    """What is not as expected."""
    known, count = set(known), 0
    for identifier, passed, title in results:
        count += 1
        if passed and identifier in known:
            yield f"{identifier} passes now, take it out of {KNOWN_FAILURES.name}: {title}"
        elif not passed and identifier not in known:
            yield f"{identifier} fails: {title}"
        known.discard(identifier)
    for identifier in known:
        yield f"{identifier} is in {KNOWN_FAILURES.name} and no test"
    if count != TESTS:
        yield f"{count} tests were run, not {TESTS}"


def main():
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        with Shoutback(Path(directory) / "log", TOKIO_WORKER_THREADS="1") as shoutback:
            code, printed = asyncio.run(h2spec(shoutback.port, report))
            assert shoutback.is_live(), shoutback.printed()
        if not report.exists():
            sys.exit(f"h2spec ended with {code}:\n{printed}")
        wrong = list(verdict(results(report), known_failures()))
    if wrong:
        sys.exit("\n".join([printed, *wrong]))
    print(f"ok: {TESTS} tests, as expected")


main()
