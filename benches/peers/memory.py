"""Memory by load: RSS = base + connections × a + waiting calls × b."""

import contextlib
import socket
import time

import measurements
import peers
from harness.process import wait_until

STEPS = (0, 1000, 3000)
#: Longer than the measurement, so that all calls wait at once.
LATENCY_MS = 60_000
VARIABLES = {
    "CACHE_CAPACITY": "0",
    "MAX_CONNECTIONS": "12000",
    "SHOUTCLOUD_MAX_CONCURRENCY": "10000",
    "SHOUTCLOUD_ATTEMPT_TIMEOUT": "2m",
    "SHOUTCLOUD_DEADLINE": "3m",
    "REQUEST_TIMEOUT": "4m",
    "BREAKER_SLOW_CALL": "2m",
    "SHOUTCLOUD_MAX_RETRIES": "0",
    "HEADER_READ_TIMEOUT": "2m",
    "IDLE_TIMEOUT": "2m",
}


def connect(peer, stack):
    host, _, port = peer.address.rpartition(":")
    return stack.enter_context(socket.create_connection((host, int(port)), timeout=10))


def settled(peer):
    """Returns the RSS in KiB once it stays the same."""
    before = None
    while (now := 1024 * measurements.memory_mib(peer.pid)) != before:
        before = now
        time.sleep(0.2)
    return now


def idle(peer, count, stack):
    """Opens connections that have had one request each."""
    request = f"GET / HTTP/1.1\r\nhost: {peer.address}\r\n\r\n".encode()
    for _ in range(count):
        connection = connect(peer, stack)
        connection.sendall(request)
        assert connection.recv(65536)


def waiting(peer, count, stack, token):
    """Sends requests that wait for SHOUTCLOUD, each on its own connection."""
    body = peer.body().encode()
    head = f"POST {peer.path} HTTP/1.1\r\nhost: {peer.address}\r\ncontent-type: application/json\r\nauthorization: Bearer {token}\r\n"
    request = head.encode() + f"content-length: {len(body)}\r\n\r\n".encode() + body
    for _ in range(count):
        connect(peer, stack).sendall(request)
    wait_until("all wait", lambda: peer.process.metric("http_server_active_requests") >= count)


def measure(environment, directory):
    """Returns points of connections, waiting calls and KiB."""
    points = []
    with peers.thin(["upstream", "127.0.0.1:0", str(LATENCY_MS)], directory / "waiting.log", peers.UPSTREAM_CORE) as upstream:
        url = f"http://{upstream.address}/V1/SHOUT"
        for count in STEPS:
            for fill in (idle, waiting) if count else (idle,):
                with contextlib.ExitStack() as stack:
                    peer = peers.shoutback(environment, directory / "memory.log", SHOUTCLOUD_URL=url, **VARIABLES)
                    # Killed, because its requests would delay its end.
                    stack.callback(peer.process.child.wait)
                    stack.callback(peer.process.child.kill)
                    fill(peer, count, stack, *([environment.token] if fill is waiting else []))
                    points.append({"connections": count, "waiting": count if fill is waiting else 0, "kib": settled(peer)})
                print(points[-1], flush=True)
    return points
