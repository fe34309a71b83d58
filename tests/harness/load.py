"""A steady load on several instances, from one thread: open-loop, so that a slow instance gets as much as a fast one."""

import asyncio
import base64
import contextlib
import itertools
import json
import threading
from collections import Counter

from .http1 import Http1

NUMBERS = itertools.count()


def shout_request(data, token=None):
    """A request's headers and body."""
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    return headers, json.dumps({"data": data}).encode()


def unique_text(token=None):
    """A text that nobody sent before, so that it has to be called for."""
    return lambda: shout_request(f"text number {next(NUMBERS)}", token)


def cached_text(token=None):
    """One that stands in the cache."""
    return lambda: shout_request("always the same", token)


def empty(token=None):
    return lambda: shout_request("", token)


def with_unknown_kid(token):
    """A token whose key the service has to look for, and will not find."""
    header, claims, signature = token.split(".")
    known = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    unknown = base64.urlsafe_b64encode(json.dumps(known | {"kid": "nobody-knows-me"}).encode()).decode().rstrip("=")
    return f"{unknown}.{claims}.{signature}"


class Load:
    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def start(self, address, rate, *requests):
        """Sends `requests` in turn, so many a second, from now on."""
        return Stream(self.loop, address, rate, requests)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self._cancel(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def _cancel(self):
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Stream:
    """What one instance gets; `answers` counts statuses, and 0 for what got none."""

    def __init__(self, loop, address, rate, requests):
        self.loop, self.address, self.rate, self.requests = loop, address, rate, itertools.cycle(requests)
        self.answers, self.idle, self.sending = Counter(), [], set()
        self.going = True
        asyncio.run_coroutine_threadsafe(self._go(), loop)

    def pause(self):
        self.going = False

    def resume(self):
        self.going = True

    def burst(self, count, request):
        """`count` at once, each on a connection of its own."""
        self.loop.call_soon_threadsafe(lambda: [self._send(request) for _ in range(count)])

    async def _go(self):
        while True:
            if self.going:
                self._send(next(self.requests))
            await asyncio.sleep(1 / self.rate)

    def _send(self, request):
        task = asyncio.create_task(self._one(*request()))
        self.sending.add(task)
        task.add_done_callback(self.sending.discard)

    async def _one(self, headers, body):
        host, _, port = self.address.rpartition(":")
        status = 0
        with contextlib.suppress(OSError, EOFError):
            connection = self.idle.pop() if self.idle else await Http1.connect(host, int(port))
            status, _, _ = await connection.post("/v1", headers, body)
            if connection.closing:
                connection.close()
            else:
                self.idle.append(connection)
        self.answers[status] += 1
