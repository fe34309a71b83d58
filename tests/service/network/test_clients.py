"""Faults between a client and the service: it responds if it can, releases the request, and serves other clients normally."""

import contextlib
import json
import socket

import pytest

from harness.process import wait_until

# A healthy request takes far less than a second.
TIMEOUTS = {
    "HEADER_READ_TIMEOUT": "1s",
    "IDLE_TIMEOUT": "1s",
    "REQUEST_TIMEOUT": "2s",
    "SHOUTCLOUD_DEADLINE": "1s",
    "SHOUTCLOUD_ATTEMPT_TIMEOUT": "1s",
    "BREAKER_SLOW_CALL": "1s",
}


@pytest.fixture
def shoutback(start):
    return start(**TIMEOUTS)


@pytest.fixture
def long_timeouts(start):
    """Returns an instance with timeouts beyond the duration of any fault."""
    return start(SHOUTCLOUD_ATTEMPT_TIMEOUT="30s", SHOUTCLOUD_DEADLINE="30s", REQUEST_TIMEOUT="40s", BREAKER_SLOW_CALL="30s")


class Client:
    """A socket with its own proxy."""

    def __init__(self, network):
        self.network = network
        host, port = network.address.split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=30)

    def send(self, text):
        self.socket.sendall(text.encode())

    def response(self):
        """Returns everything that is received until the service closes the connection."""
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while data := self.socket.recv(65536):
                received += data
        return received.decode()

    def close(self):
        self.socket.close()


@pytest.fixture
def connect(toxiproxy):
    """`connect(shoutback)` returns a client, which is closed at the end of the test."""
    with contextlib.ExitStack() as clients:

        def connect(shoutback):
            client = Client(toxiproxy.proxy(shoutback.address))
            clients.callback(client.close)
            return client

        yield connect


def body(text="hello, world!"):
    return json.dumps({"data": text})


def head(length):
    return f"POST /v1 HTTP/1.1\r\nhost: shoutback\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"


def has_status(response, status, problem):
    first, _, rest = response.partition("\r\n")
    return first.startswith(f"HTTP/1.1 {status} ") and f'"/docs#{problem}"' in rest


def wait_until_idle(shoutback):
    wait_until("no request is active", lambda: shoutback.active_requests() == 0)


def test_slow_request_headers_are_cut_off_without_a_response(shoutback, connect, caller):
    client = connect(shoutback)
    with client.network.toxic("slicer", stream="upstream", average_size=1, delay=100_000):
        client.send(head(len(body())) + body())
        assert caller.shout(shoutback).status_code == 200
        assert client.response() == ""
    wait_until_idle(shoutback)


def test_a_slow_body_gets_a_408_and_is_cut_off(shoutback, connect, caller):
    client = connect(shoutback)
    client.send(head(len(body())))
    wait_until("the headers have arrived", lambda: shoutback.active_requests() == 1)
    with client.network.toxic("slicer", stream="upstream", average_size=1, delay=1_000_000):
        client.send(body())
        assert caller.shout(shoutback).status_code == 200
        assert has_status(client.response(), 408, "request-timeout")
    wait_until_idle(shoutback)


def test_a_slow_client_within_the_timeouts_gets_its_response(long_timeouts, connect):
    """Each byte of the request and of the response arrives separately."""
    client = connect(long_timeouts)
    with (
        client.network.toxic("slicer", stream="upstream", average_size=1, delay=1000),
        client.network.toxic("slicer", average_size=1, delay=1000),
    ):
        client.send(head(len(body())).replace("host:", "connection: close\r\nhost:") + body())
        assert client.response().endswith('{"data":"!DLROW ,OLLEH"}')
    wait_until_idle(long_timeouts)


@pytest.mark.parametrize("sent", ["half its headers", "half its body", "everything"])
@pytest.mark.parametrize("how", ["closes", "resets"])
def test_a_disconnected_client_leaves_no_active_request(sent, how, long_timeouts, shoutcloud, connect, caller):
    shoutcloud.behave(delay="20s")
    calls = shoutcloud.calls()
    client = connect(long_timeouts)
    request = head(len(body())) + body()
    if sent == "everything":
        client.send(request)
        wait_until("SHOUTCLOUD was called", lambda: shoutcloud.calls() == calls + 1)
    elif sent == "half its body":
        client.send(request[:-5])
        wait_until("the request is active", lambda: long_timeouts.active_requests() == 1)
    else:
        client.send(request[:30])
    shoutcloud.behave()
    if how == "closes":
        client.close()
    else:
        with client.network.toxic("reset_peer", stream="upstream"):
            # The toxic resets the connection on data: the rest of the request, or a superfluous byte.
            client.send("x")
            client.response()
    wait_until_idle(long_timeouts)
    assert caller.shout(long_timeouts).status_code == 200


def test_a_client_that_falls_silent_gets_a_408(shoutback, connect, caller):
    """The connection stays open without data, as if the client's machine had lost power."""
    client = connect(shoutback)
    client.send(head(len(body())) + body()[:-5])
    wait_until("the request is active", lambda: shoutback.active_requests() == 1)
    with client.network.toxic("timeout", stream="upstream", timeout=0):
        client.send(body()[-5:])
        assert caller.shout(shoutback).status_code == 200
        assert has_status(client.response(), 408, "request-timeout")
    wait_until_idle(shoutback)


def test_a_client_that_does_not_read_its_responses_is_disconnected(shoutback, caller):
    """It sends requests until the socket buffers are full, and never reads."""
    large = body("x" * 60_000)
    with socket.create_connection(("127.0.0.1", shoutback.port), timeout=30) as client:
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while True:
                client.sendall((head(len(large)) + large).encode())
        assert caller.shout(shoutback).status_code == 200
        wait_until_idle(shoutback)
        port = client.getsockname()[1]
        wait_until("the connection is cut", lambda: not shoutback.holds_connection_from(port))


def test_many_faulty_clients_do_not_delay_a_healthy_one(shoutback, connect, caller):
    """Fifty slow and fifty silent clients; meanwhile every request of the healthy one succeeds."""
    slow, silent = connect(shoutback).network, connect(shoutback).network
    with contextlib.ExitStack() as stack:
        stack.enter_context(slow.toxic("slicer", stream="upstream", average_size=1, delay=100_000))
        stack.enter_context(silent.toxic("timeout", stream="upstream", timeout=0))
        for network in [slow, silent]:
            for _ in range(50):
                client = Client(network)
                stack.callback(client.close)
                client.send(head(len(body())) + body())
        responses = caller.shout_many(shoutback, 200, workers=4)
        assert {response.status_code for response in responses} == {200}
    wait_until_idle(shoutback)
