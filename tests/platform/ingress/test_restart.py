"""A rolling restart under load, as Kubernetes and the controller do it, fails no request."""

import asyncio
import itertools
import threading
from collections import Counter

import pytest

import manifests
from harness.http1 import Http1
from harness.http2 import Http2, NotProcessed
from harness.process import responds_ok, wait_until

# A replica continues to serve for this time after SIGTERM; within it NGINX must remove the address.
GRACE = "3s"
CALLERS = 4


class Callers:
    """Clients that send requests in sequence, with each of three kinds of connection, until the end of the `with` block."""

    def __init__(self, edge):
        self.edge, self.numbers = edge, itertools.count()
        self.statuses, self.failures, self.unprocessed = Counter(), [], []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()

    async def _run(self):
        kinds = {"one request per connection": (Http1, False), "keep-alive": (Http1, True), "http/2": (Http2, True)}
        await asyncio.gather(*(self._call(name, *kind) for name, kind in kinds.items() for _ in range(CALLERS)))

    async def _call(self, name, protocol, keep_alive):
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
                # HTTP/2 reports which requests must be retried.
                self.unprocessed.append(request_id)
                connection.closing = True
            except (ConnectionError, EOFError) as error:
                # HTTP/1.1 does not: an idle connection may be closed just when it is used, which every client has to expect. The
                # end of the test checks that no replica received the request.
                if protocol is Http1 and used and not getattr(error, "partial", b""):
                    self.unprocessed.append(request_id)
                else:
                    self.failures.append((name, request_id, error))
                connection.closing = True
            if connection and (connection.closing or not keep_alive):
                connection.close()
                connection = None
        if connection:
            connection.close()


class Rollout:
    """A Deployment of two replicas, with a third one during a rollout, and its endpoints."""

    def __init__(self, start, edge, replicas):
        self.start, self.edge, self.replicas, self.all = start, edge, list(replicas), list(replicas)

    def endpoints(self):
        """Updates NGINX as the controller does for a change of the EndpointSlices."""
        self.edge.nginx.reload([replica.address for replica in self.replicas])

    def replace(self, old):
        new = self.start()
        self.replicas.append(new)
        self.all.append(new)
        self.endpoints()

        # Kubernetes sends SIGTERM and removes the endpoint at the same time; here SIGTERM comes first, which is worse.
        old.child.terminate()
        wait_until("it is unready", lambda: not responds_ok(f"http://{old.admin}/readyz"))
        assert old.child.poll() is None
        self.replicas.remove(old)
        self.endpoints()
        assert old.child.poll() is None, "it exited before NGINX removed it"
        assert old.child.wait(timeout=60) == 0


@pytest.mark.parametrize("environment", ["production"])
def test_a_rolling_restart_fails_no_request(edges, replicas, shoutcloud, environment):
    shoutcloud.behave(delay="20ms")
    objects = manifests.of_environment(environment)
    config = manifests.config_of(objects)

    def start():
        return replicas(config, SHUTDOWN_GRACE=GRACE)

    first = [start(), start()]
    edge = edges(environment, [replica.address for replica in first], rateLimit={"perSecond": 0})
    rollout = Rollout(start, edge, first)
    with Callers(edge) as callers:
        wait_until("all clients have sent requests", lambda: len(callers.statuses) == 3 and min(callers.statuses.values()) > 20)
        for old in first:
            rollout.replace(old)
        before = sum(callers.statuses.values())
        wait_until("they continue", lambda: sum(callers.statuses.values()) > before + 60)

    assert callers.failures == []
    assert {status for _, status in callers.statuses} == {200}, callers.statuses

    # Every response came from exactly one replica, and requests without a response reached none.
    successes = sum(callers.statuses.values())
    logged = Counter()

    def all_logged():
        logged.clear()
        for replica in rollout.all:
            requests = [line["http.request.id"] for line in replica.requests()]
            assert requests
            logged.update(requests)
        return len(logged) >= successes

    wait_until("the replicas have logged them", all_logged)
    assert set(logged.values()) == {1}
    assert len(logged) == successes
    assert not logged.keys() & set(callers.unprocessed)
    # A few, during reloads of NGINX.
    assert len(callers.unprocessed) <= 4 * 3 * CALLERS
