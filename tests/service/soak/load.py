"""The consumers: so many requests a second, whatever becomes of those before, and what came of each."""

import asyncio
import json
import time
import uuid
from collections import deque
from dataclasses import dataclass

from harness.http1 import Http1, NotConnected
from harness.http2 import Http2, NotProcessed

# How many of a hundred requests are of each kind.
KINDS = {
    "distinct": 35,
    "distinct_any": 15,
    "repeated": 35,
    "empty": 5,
    "large": 5,
    "refused": 5,
}
TRANSPORTS = {"kept": 60, "new": 25, "http2": 15}

# More than the service takes for anything.
PATIENCE_SECONDS = 40

# More than that of idle connections are closed: a fault leaves many.
KEPT = 16


@dataclass
class Outcome:
    """What came of a request."""

    kind: str
    transport: str
    began: float
    ended: float
    phase: str
    #: 200, or a problem's name, or what went wrong on the way.
    result: str
    cache_status: str = ""
    #: Set if the answer is one that is never right.
    wrong: str = ""


class Load:
    def __init__(self, shoutback, texts, token, rate):
        self.host, self.port = shoutback.address.split(":")[0], shoutback.port
        self.texts, self.token, self.rate = texts, token, rate
        self.phase, self.outcomes = "", []
        self.under_way, self.kept = set(), deque()
        self.http2, self.connecting = None, asyncio.Lock()
        self.running = asyncio.Event()
        self.pacing = asyncio.create_task(self._pace())
        # Set once the process is told to stop: from then on, and only then, connections may be refused.
        self.stopping = False

    async def _pace(self):
        """Begins requests on time: those that hang delay none."""
        due = time.monotonic()
        while True:
            if not self.running.is_set():
                await self.running.wait()
                due = time.monotonic()
            due += 1 / self.rate
            await asyncio.sleep(max(0, due - time.monotonic()))
            task = asyncio.create_task(self._request())
            self.under_way.add(task)
            task.add_done_callback(self._is_done)

    def _is_done(self, task):
        self.under_way.discard(task)
        self.outcomes.append(task.result())

    async def settle(self):
        """Waits for every request that is under way now."""
        if self.under_way:
            await asyncio.wait(set(self.under_way))

    async def end(self):
        self.running.clear()
        self.pacing.cancel()
        await self.settle()
        for connection in [*self.kept, *([self.http2] if self.http2 else [])]:
            connection.close()

    async def _request(self):
        kind, transport = self._choose(KINDS), self._choose(TRANSPORTS)
        if kind == "large" and transport == "http2":
            # The HTTP/2 client is for small bodies.
            transport = "kept"
        phase, began = self.phase, time.monotonic()
        try:
            result, cache_status, wrong = await self._outcome(kind, transport)
        except Exception as error:
            # Lost in a callback otherwise, and the soak would pass.
            result, cache_status, wrong = "unreadable", "", f"{error!r} ({kind}, {transport})"
        return Outcome(kind, transport, began, time.monotonic(), phase, result, cache_status, wrong)

    def _choose(self, shares):
        return self.texts.random.choices(list(shares), list(shares.values()))[0]

    async def _outcome(self, kind, transport):
        """Result, `cache-status`, and what is wrong with the answer."""
        text, shout = self.texts.distinct(20) if kind == "refused" else getattr(self.texts, kind)()
        as_json = self.texts.random.random() < 0.7
        headers = {"x-request-id": str(uuid.uuid4()), "content-type": "application/json" if as_json else "text/plain"}
        if kind != "refused":
            headers["authorization"] = f"Bearer {self.token}"
        body = json.dumps({"data": text}).encode() if as_json else text.encode()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                status, answered, received = await self._post(transport, headers, body)
        except (NotConnected, NotProcessed) as error:
            return "not taken", "", "" if self.stopping else f"the service took no request: {error!r}"
        except TimeoutError:
            return "no answer", "", f"no answer within {PATIENCE_SECONDS} s"
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            return "lost", "", f"the connection ended without an answer: {error!r} ({transport})"
        expected = json.dumps({"data": shout}) if as_json else shout
        return judge(kind, headers, expected, status, answered, received, as_json)

    async def _post(self, transport, headers, body):
        if transport == "http2":
            return await (await self._shared()).post("/v1", headers, body)
        if transport == "kept" and self.kept:
            # The one that has been idle longest, so that none is idle for long.
            connection = self.kept.popleft()
        else:
            connection = await Http1.connect(self.host, self.port)
        keep = False
        try:
            answer = await connection.post("/v1", headers, body)
            keep = transport == "kept" and not connection.closing and len(self.kept) < KEPT
        finally:
            if keep:
                self.kept.append(connection)
            else:
                connection.close()
        return answer

    async def _shared(self):
        async with self.connecting:
            if not self.http2 or self.http2.closing:
                try:
                    self.http2 = await Http2.connect(self.host, self.port)
                except ConnectionRefusedError as error:
                    raise NotConnected(str(error)) from error
            return self.http2


def judge(kind, sent, expected, status, answered, received, as_json):
    """As `_outcome`: what no phase allows is found here."""
    cache_status = answered.get("cache-status", "")
    wrong = ""
    if answered.get("x-request-id") != sent["x-request-id"]:
        wrong = f"x-request-id is {answered.get('x-request-id')!r}"
    if status == 200:
        text = json.dumps(json.loads(received)) if as_json else received.decode()
        if text != expected:
            wrong = "a wrong shout"
        return "200", cache_status, wrong
    if answered.get("content-type") != "application/problem+json":
        return str(status), cache_status, f"{status} that is no problem"
    problem = json.loads(received)
    name = problem["type"].removeprefix("/docs#")
    if problem["status"] != status or problem["instance"] != sent["x-request-id"]:
        wrong = f"a problem that is another one's: {problem}"
    # SHOUTCLOUD's own text of its failures, and where it is.
    if any(leak in received for leak in (b"Service Unavailable", b"127.0.0.1")):
        wrong = f"a problem that tells too much: {problem}"
    if (kind == "refused") != (name == "unauthenticated"):
        wrong = f"{name} for a request that is {kind}"
    return name, cache_status, wrong
