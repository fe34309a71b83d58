"""An open-loop load generator for several instances, in one thread: a slow instance gets as many requests as a fast one."""

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
    """Returns the headers and body of a request."""
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    return headers, json.dumps({"data": data}).encode()


def unique_text(token=None):
    """Returns a factory of requests with a new text each, which needs a call to the upstream."""
    return lambda: shout_request(f"text number {next(NUMBERS)}", token)


def cached_text(token=None):
    """Returns a factory of requests with a constant text, which is cached."""
    return lambda: shout_request("always the same", token)


def empty(token=None):
    return lambda: shout_request("", token)


def with_unknown_kid(token):
    """Returns the token with a `kid` that is in no key set."""
    header, claims, signature = token.split(".")
    known = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    unknown = base64.urlsafe_b64encode(json.dumps(known | {"kid": "unknown"}).encode()).decode().rstrip("=")
    return f"{unknown}.{claims}.{signature}"


class Load:
    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def start(self, address, rate, *requests, path="/v1", timeout=None):
        """Starts to send `requests` in turn to a path, `rate` per second. With a timeout, in seconds, it hangs up on slow responses."""
        return Stream(self.loop, address, rate, requests, path, timeout)

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
    """The load on one instance. `statuses` counts the statuses, with 0 for requests without a response."""

    def __init__(self, loop, address, rate, requests, path, timeout):
        self.loop, self.address, self.rate, self.requests = loop, address, rate, itertools.cycle(requests)
        self.path, self.timeout = path, timeout
        self.statuses, self.idle, self.sending = Counter(), [], set()
        self.running = True
        asyncio.run_coroutine_threadsafe(self._run(), loop)

    def pause(self):
        self.running = False

    def resume(self):
        self.running = True

    def burst(self, count, request):
        """Sends `count` requests at once, each on its own connection."""
        self.loop.call_soon_threadsafe(lambda: [self._send(request) for _ in range(count)])

    async def _run(self):
        while True:
            if self.running:
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
            try:
                status, _, _ = await asyncio.wait_for(connection.post(self.path, headers, body), self.timeout)
            except TimeoutError as error:
                connection.close()
                raise EOFError from error
            if connection.closing:
                connection.close()
            else:
                self.idle.append(connection)
        self.statuses[status] += 1
