"""A client that sends requests at a steady rate, to replicas in turn or through an ingress, and counts the responses."""

import asyncio
import contextlib
import json
import random
import time
from collections import Counter

from harness.http1 import Http1

# On a machine that is busy, more connections would only begin more handshakes.
MAX_CONNECTIONS = 32
TEXT = "the same text for every request"


def shout(replica, text=TEXT, headers=None):
    """Sends one request. Returns the status, the headers in lower case, and the body."""
    return asyncio.run(_shout(replica.address, text, headers or {}))


async def _shout(address, text, headers):
    host, _, port = address.rpartition(":")
    connection = await Http1.connect(host, int(port))
    try:
        status, fields, body = await connection.post("/v1", _headers() | headers, json.dumps({"data": text}).encode())
        return status, fields, body
    finally:
        connection.close()


async def connect(target):
    """Connects to a replica, or to an ingress, which has a TLS context `tls` and a name `host`."""
    host, _, port = target.address.rpartition(":")
    return await Http1.connect(host, int(port), getattr(target, "tls", None), getattr(target, "host", None))


def _headers():
    return {"content-type": "application/json"}


def round_robin(replicas):
    return lambda number: replicas[number % len(replicas)]


def at_random(replicas):
    generator = random.Random(1)
    return lambda _: generator.choice(replicas)


def only_one(replicas):
    return lambda _: replicas[0]


SPREADS = [round_robin, at_random, only_one]


class Result:
    """What became of the requests."""

    def __init__(self):
        self.statuses = Counter()
        self.started = self.last = None

    @property
    def seconds(self):
        """Returns the time from the first request to the last response."""
        return self.last - self.started

    @property
    def accepted(self):
        return self.statuses[200]

    def limit(self, per_second, burst):
        """Returns how many requests the quota allows meanwhile."""
        return per_second * self.seconds + burst


def send(choose, per_second, seconds, during=None):
    """Sends requests at this rate; `choose(number)` returns the replica. `during` maps times to functions that are called then."""
    return send_all([(choose, per_second)], seconds, during)[0]


def send_all(loads, seconds, during=None):
    """Does the same for several pairs of `choose` and `per_second` at the same time, and returns their results."""
    return asyncio.run(_send_all(loads, seconds, during or {}))


async def _send_all(loads, seconds, during):
    loop = asyncio.get_running_loop()
    for after, function in during.items():
        loop.call_later(after, lambda function=function: loop.run_in_executor(None, function))
    return await asyncio.gather(*(_send(choose, per_second, seconds) for choose, per_second in loads))


async def _send(choose, per_second, seconds):
    result, idle, pending, permits = Result(), {}, set(), asyncio.Semaphore(MAX_CONNECTIONS)
    body = json.dumps({"data": TEXT}).encode()

    async def one(target):
        status = 0
        async with permits:
            with contextlib.suppress(OSError, EOFError):
                connections = idle.setdefault(target.address, [])
                connection = connections.pop() if connections else await connect(target)
                status, _, _ = await connection.post("/v1", _headers(), body)
                if connection.closing:
                    connection.close()
                else:
                    connections.append(connection)
        result.statuses[status] += 1
        result.last = time.monotonic()

    result.started = due = time.monotonic()
    for number in range(int(per_second * seconds)):
        await asyncio.sleep(max(0, due - time.monotonic()))
        # After a pause of this process it catches up by at most the requests of a second: more would be a burst above the rate.
        due = max(due, time.monotonic() - 1) + 1 / per_second
        task = asyncio.create_task(one(choose(number)))
        pending.add(task)
        task.add_done_callback(pending.discard)
    while pending:
        await asyncio.wait(pending)
    for connections in idle.values():
        for connection in connections:
            connection.close()
    return result


def requests_total(replica, operation, outcome):
    return replica.metric("shoutback_valkey_requests_total", operation=operation, outcome=outcome)
