"""Faults between a client and the service: it says what it can, keeps nothing, and others notice nothing."""

import contextlib
import json
import socket

import pytest

from harness.process import wait_until

# A whole request in far less than a second, or none.
TIMES = {
    "HEADER_READ_TIMEOUT": "1s",
    "IDLE_TIMEOUT": "1s",
    "REQUEST_TIMEOUT": "2s",
    "SHOUTCLOUD_DEADLINE": "1s",
    "SHOUTCLOUD_ATTEMPT_TIMEOUT": "1s",
    "BREAKER_SLOW_CALL": "1s",
}


@pytest.fixture
def shoutback(start):
    return start(**TIMES)


@pytest.fixture
def patient(start):
    """An instance that waits for whatever a client does."""
    return start(SHOUTCLOUD_ATTEMPT_TIMEOUT="30s", SHOUTCLOUD_DEADLINE="30s", REQUEST_TIMEOUT="40s", BREAKER_SLOW_CALL="30s")


class Client:
    """A socket, through a network of its own."""

    def __init__(self, network):
        self.network = network
        host, port = network.address.split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=30)

    def send(self, text):
        self.socket.sendall(text.encode())

    def answer(self):
        """All that comes until the service closes the connection."""
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while data := self.socket.recv(65536):
                received += data
        return received.decode()

    def close(self):
        self.socket.close()


@pytest.fixture
def connect(toxiproxy):
    """`connect(shoutback)`: a client, which is gone at the end of the test."""
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


def has_status(answer, status, problem):
    first, _, rest = answer.partition("\r\n")
    return first.startswith(f"HTTP/1.1 {status} ") and f'"/docs#{problem}"' in rest


def is_at_rest(shoutback):
    wait_until("no request is active", lambda: shoutback.active_requests() == 0)


def test_a_head_that_drips_is_cut_off_without_an_answer(shoutback, connect, caller):
    client = connect(shoutback)
    with client.network.toxic("slicer", stream="upstream", average_size=1, delay=100_000):
        client.send(head(len(body())) + body())
        assert caller.shout(shoutback).status_code == 200
        assert client.answer() == ""
    is_at_rest(shoutback)


def test_a_body_that_drips_is_told_so_and_cut_off(shoutback, connect, caller):
    client = connect(shoutback)
    client.send(head(len(body())))
    wait_until("the head has arrived", lambda: shoutback.active_requests() == 1)
    with client.network.toxic("slicer", stream="upstream", average_size=1, delay=1_000_000):
        client.send(body())
        assert caller.shout(shoutback).status_code == 200
        assert has_status(client.answer(), 408, "request-timeout")
    is_at_rest(shoutback)


def test_a_slow_client_is_answered_if_it_is_fast_enough(patient, connect):
    """Each byte of head and body by itself, and the answer likewise."""
    client = connect(patient)
    with (
        client.network.toxic("slicer", stream="upstream", average_size=1, delay=1000),
        client.network.toxic("slicer", average_size=1, delay=1000),
    ):
        client.send(head(len(body())).replace("host:", "connection: close\r\nhost:") + body())
        assert client.answer().endswith('{"data":"!DLROW ,OLLEH"}')
    is_at_rest(patient)


@pytest.mark.parametrize("sent", ["half its head", "half its body", "everything"])
@pytest.mark.parametrize("how", ["closes", "resets"])
def test_a_client_that_goes_away_leaves_nothing(sent, how, patient, shoutcloud, connect, caller):
    shoutcloud.behave(delay="20s")
    calls = shoutcloud.calls()
    client = connect(patient)
    request = head(len(body())) + body()
    if sent == "everything":
        client.send(request)
        wait_until("SHOUTCLOUD was called", lambda: shoutcloud.calls() == calls + 1)
    elif sent == "half its body":
        client.send(request[:-5])
        wait_until("the request is active", lambda: patient.active_requests() == 1)
    else:
        client.send(request[:30])
    shoutcloud.behave()
    if how == "closes":
        client.close()
    else:
        with client.network.toxic("reset_peer", stream="upstream"):
            # A reset befalls what is sent: the rest, or a byte that belongs to nothing.
            client.send("x")
            client.answer()
    is_at_rest(patient)
    assert caller.shout(patient).status_code == 200


def test_a_client_that_falls_silent_is_told_so_and_leaves_nothing(shoutback, connect, caller):
    """The connection stays, nothing comes any more: as if its machine had lost its power."""
    client = connect(shoutback)
    client.send(head(len(body())) + body()[:-5])
    wait_until("the request is active", lambda: shoutback.active_requests() == 1)
    with client.network.toxic("timeout", stream="upstream", timeout=0):
        client.send(body()[-5:])
        assert caller.shout(shoutback).status_code == 200
        assert has_status(client.answer(), 408, "request-timeout")
    is_at_rest(shoutback)


def test_a_client_that_does_not_read_its_answers_is_not_waited_for(shoutback, caller):
    """It sends request after request until nothing fits into the connection any more, and never reads."""
    large = body("x" * 60_000)
    with socket.create_connection(("127.0.0.1", shoutback.port), timeout=30) as client:
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while True:
                client.sendall((head(len(large)) + large).encode())
        assert caller.shout(shoutback).status_code == 200
        is_at_rest(shoutback)
        port = client.getsockname()[1]
        wait_until("the connection is cut", lambda: not shoutback.holds_connection_from(port))


def test_many_bad_clients_do_not_keep_a_good_one_waiting(shoutback, connect, caller):
    """Fifty that drip, fifty that have fallen silent; every request of the good one is answered meanwhile."""
    dripping, silent = connect(shoutback).network, connect(shoutback).network
    with contextlib.ExitStack() as stack:
        stack.enter_context(dripping.toxic("slicer", stream="upstream", average_size=1, delay=100_000))
        stack.enter_context(silent.toxic("timeout", stream="upstream", timeout=0))
        for network in [dripping, silent]:
            for _ in range(50):
                client = Client(network)
                stack.callback(client.close)
                client.send(head(len(body())) + body())
        answers = caller.shout_many(shoutback, 200, workers=4)
        assert {answer.status_code for answer in answers} == {200}
    is_at_rest(shoutback)
