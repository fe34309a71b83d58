"""A rolling restart under load, as Kubernetes and the controller make it: nobody's request fails."""

import asyncio
import itertools
import threading
from collections import Counter

import pytest

import manifests
from harness.http1 import Http1
from harness.http2 import Http2, NotProcessed
from harness.process import responds_ok, wait_until

# A replica goes on serving for so long after it is told to stop; until then its address must have left NGINX.
GRACE = "3s"
CALLERS = 4


class Callers:
    """Some who call one after the other, in each of three ways, until they are told to stop."""

    def __init__(self, edge):
        self.edge, self.numbers = edge, itertools.count()
        self.statuses, self.failures, self.unanswered = Counter(), [], []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()

    async def _run(self):
        ways = {"one request a connection": (Http1, False), "keep-alive": (Http1, True), "http/2": (Http2, True)}
        await asyncio.gather(*(self._call(name, *way) for name, way in ways.items() for _ in range(CALLERS)))

    async def _call(self, name, protocol, keeps):
        tls = self.edge.tls("h2" if protocol is Http2 else "http/1.1")
        connection, used = None, False
        while not self.stopping.is_set():
            number = next(self.numbers)
            request_id, text = f"call-{number}", f"text of call {number}"
            headers = {"content-type": "text/plain", "x-request-id": request_id}
            try:
                if connection is None:
                    connection, used = await protocol.connect("127.0.0.1", self.edge.https.port, tls, manifests.HOST), False
                status, _, body = await connection.post("/v1", headers, text.encode())
                self.statuses[name, status] += 1
                if body != text[::-1].upper().encode():
                    self.failures.append((name, request_id, status, body))
                used = True
            except NotProcessed:
                # HTTP/2 says which requests have to be sent again.
                self.unanswered.append(request_id)
                connection.closing = True
            except (ConnectionError, EOFError) as error:
                # HTTP/1.1 does not: a connection that was idle may be closed just when it is used, which every client has to
                # reckon with. It is checked below that nobody saw the request.
                if protocol is Http1 and used and not getattr(error, "partial", b""):
                    self.unanswered.append(request_id)
                else:
                    self.failures.append((name, request_id, error))
                connection.closing = True
            if connection and (connection.closing or not keeps):
                connection.close()
                connection = None
        if connection:
            connection.close()


class Rollout:
    """A Deployment of two replicas with one more while it is rolled out, and its endpoints."""

    def __init__(self, start, edge, replicas):
        self.start, self.edge, self.replicas, self.all = start, edge, list(replicas), list(replicas)

    def endpoints(self):
        """The controller follows the EndpointSlices."""
        self.edge.nginx.reload([replica.address for replica in self.replicas])

    def replace(self, old):
        new = self.start()
        self.replicas.append(new)
        self.all.append(new)
        self.endpoints()

        # Kubernetes tells the process and takes it out of the endpoints at the same time: it is told first here, which is worse.
        old.child.terminate()
        wait_until("it is unready", lambda: not responds_ok(f"http://{old.admin}/readyz"))
        assert old.child.poll() is None
        self.replicas.remove(old)
        self.endpoints()
        assert old.child.poll() is None, "it was gone before NGINX knew"
        assert old.child.wait(timeout=60) == 0


@pytest.mark.parametrize("environment", ["production"])
def test_nobody_notices_a_rolling_restart(edges, replicas, shoutcloud, environment):
    shoutcloud.behave(delay="20ms")
    objects = manifests.of_environment(environment)
    config = manifests.config_of(objects)

    def start():
        return replicas(config, SHUTDOWN_GRACE=GRACE)

    first = [start(), start()]
    edge = edges(environment, [replica.address for replica in first], rateLimit={"perSecond": 0})
    rollout = Rollout(start, edge, first)
    with Callers(edge) as callers:
        wait_until("all of them call", lambda: len(callers.statuses) == 3 and min(callers.statuses.values()) > 20)
        for old in first:
            rollout.replace(old)
        before = sum(callers.statuses.values())
        wait_until("they still do", lambda: sum(callers.statuses.values()) > before + 60)

    assert callers.failures == []
    assert {status for _, status in callers.statuses} == {200}, callers.statuses

    # Every answer came from one replica, of the old and of the new ones, and what got none reached nobody.
    answered = sum(callers.statuses.values())
    seen = Counter()

    def all_logged():
        seen.clear()
        for replica in rollout.all:
            requests = [line["http.request.id"] for line in replica.requests()]
            assert requests
            seen.update(requests)
        return len(seen) >= answered

    wait_until("the replicas have logged them", all_logged)
    assert set(seen.values()) == {1}
    assert len(seen) == answered
    assert not seen.keys() & set(callers.unanswered)
    # A few, when NGINX was reloaded.
    assert len(callers.unanswered) <= 4 * 3 * CALLERS
