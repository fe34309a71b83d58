"""The load: requests at a fixed rate, independent of the responses, with the outcome of each."""

import asyncio
import json
import time
import uuid
from collections import deque
from dataclasses import dataclass

from harness.http1 import Http1, NotConnected
from harness.http2 import Http2, NotProcessed

# Percentage of requests of each kind.
KINDS = {
    "distinct": 35,
    "distinct_any": 15,
    "repeated": 35,
    "empty": 5,
    "large": 5,
    "no_token": 5,
}
TRANSPORTS = {"keep-alive": 60, "new": 25, "http2": 15}

# More than the service needs for any response.
TIMEOUT_SECONDS = 40

# Further idle connections are closed: a fault leaves many.
MAX_IDLE = 16


@dataclass
class Outcome:
    """The outcome of a request."""

    kind: str
    transport: str
    began: float
    ended: float
    phase: str
    #: 200, the name of a problem, or a failure of the connection.
    result: str
    cache_status: str = ""
    #: Why the response is wrong in any phase, if it is.
    wrong: str = ""


class Load:
    def __init__(self, shoutback, texts, token, rate):
        self.host, self.port = shoutback.address.split(":")[0], shoutback.port
        self.texts, self.token, self.rate = texts, token, rate
        self.phase, self.outcomes = "", []
        self.in_flight, self.idle = set(), deque()
        self.http2, self.connecting = None, asyncio.Lock()
        self.running = asyncio.Event()
        self.pacing = asyncio.create_task(self._pace())
        # Set when the process gets SIGTERM: only after that may it refuse connections.
        self.stopping = False

    async def _pace(self):
        """Starts requests on time, independent of those in flight."""
        due = time.monotonic()
        while True:
            if not self.running.is_set():
                await self.running.wait()
                due = time.monotonic()
            due += 1 / self.rate
            await asyncio.sleep(max(0, due - time.monotonic()))
            task = asyncio.create_task(self._request())
            self.in_flight.add(task)
            task.add_done_callback(self._is_done)

    def _is_done(self, task):
        self.in_flight.discard(task)
        self.outcomes.append(task.result())

    async def settle(self):
        """Waits for the requests in flight."""
        if self.in_flight:
            await asyncio.wait(set(self.in_flight))

    async def end(self):
        self.running.clear()
        self.pacing.cancel()
        await self.settle()
        for connection in [*self.idle, *([self.http2] if self.http2 else [])]:
            connection.close()

    async def _request(self):
        kind, transport = self._choose(KINDS), self._choose(TRANSPORTS)
        if kind == "large" and transport == "http2":
            # The HTTP/2 client supports only small bodies.
            transport = "keep-alive"
        phase, began = self.phase, time.monotonic()
        try:
            result, cache_status, wrong = await self._outcome(kind, transport)
        except Exception as error:
            # A callback would lose the exception, and the soak would pass.
            result, cache_status, wrong = "unreadable", "", f"{error!r} ({kind}, {transport})"
        return Outcome(kind, transport, began, time.monotonic(), phase, result, cache_status, wrong)

    def _choose(self, shares):
        return self.texts.random.choices(list(shares), list(shares.values()))[0]

    async def _outcome(self, kind, transport):
        """Sends a request. Returns its result, its `cache-status`, and what is wrong with the response."""
        text, shout = self.texts.distinct(20) if kind == "no_token" else getattr(self.texts, kind)()
        as_json = self.texts.random.random() < 0.7
        headers = {"x-request-id": str(uuid.uuid4()), "content-type": "application/json" if as_json else "text/plain"}
        if kind != "no_token":
            headers["authorization"] = f"Bearer {self.token}"
        body = json.dumps({"data": text}).encode() if as_json else text.encode()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                status, headers_received, received = await self._post(transport, headers, body)
        except (NotConnected, NotProcessed) as error:
            return "not taken", "", "" if self.stopping else f"the service accepted no request: {error!r}"
        except TimeoutError:
            return "no response", "", f"no response within {TIMEOUT_SECONDS} s"
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            return "lost", "", f"the connection ended without a response: {error!r} ({transport})"
        expected = json.dumps({"data": shout}) if as_json else shout
        return check(kind, headers, expected, status, headers_received, received, as_json)

    async def _post(self, transport, headers, body):
        if transport == "http2":
            return await (await self._http2_connection()).post("/v1", headers, body)
        if transport == "keep-alive" and self.idle:
            # The longest idle one, so that none is idle for long.
            connection = self.idle.popleft()
        else:
            connection = await Http1.connect(self.host, self.port)
        keep = False
        try:
            response = await connection.post("/v1", headers, body)
            keep = transport == "keep-alive" and not connection.closing and len(self.idle) < MAX_IDLE
        finally:
            if keep:
                self.idle.append(connection)
            else:
                connection.close()
        return response

    async def _http2_connection(self):
        async with self.connecting:
            if not self.http2 or self.http2.closing:
                try:
                    self.http2 = await Http2.connect(self.host, self.port)
                except ConnectionRefusedError as error:
                    raise NotConnected(str(error)) from error
            return self.http2


def check(kind, sent, expected, status, fields, received, as_json):
    """Checks a response for what is wrong in any phase. Returns the same as `_outcome`."""
    cache_status = fields.get("cache-status", "")
    wrong = ""
    if fields.get("x-request-id") != sent["x-request-id"]:
        wrong = f"x-request-id is {fields.get('x-request-id')!r}"
    if status == 200:
        text = json.dumps(json.loads(received)) if as_json else received.decode()
        if text != expected:
            wrong = "a wrong shout"
        return "200", cache_status, wrong
    if fields.get("content-type") != "application/problem+json":
        return str(status), cache_status, f"{status} without a problem document"
    problem = json.loads(received)
    name = problem["type"].removeprefix("/docs#")
    if problem["status"] != status or problem["instance"] != f"/requests/{sent['x-request-id']}":
        wrong = f"a problem of another request: {problem}"
    # SHOUTCLOUD's error text and its address.
    if any(leak in received for leak in (b"Service Unavailable", b"127.0.0.1")):
        wrong = f"a problem that leaks internals: {problem}"
    if (kind == "no_token") != (name == "unauthenticated"):
        wrong = f"{name} for a request of kind {kind}"
    return name, cache_status, wrong
