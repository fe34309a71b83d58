"""Runs Toxiproxy: TCP proxies that inject network faults."""

import contextlib
import itertools
import json
import random
import socket
from pathlib import Path

from .process import Process, responds_ok, http_request


def free_port():
    """Returns a port outside the ephemeral range: while a proxy is down, another connection could get an ephemeral one."""
    lowest, highest = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    # Below the range, or above it where the range starts low.
    ports = range(10_000, lowest) or range(highest + 1, 65_536) or range(10_000, 65_536)
    while True:
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", random.choice(ports)))
            return listener.getsockname()[1]


class Toxiproxy(Process):
    def __init__(self, log):
        port = free_port()
        # The seed decides which connections a toxic with a toxicity below 1 affects.
        super().__init__(["toxiproxy-server", "-host", "127.0.0.1", "-port", port, "-seed", 1], log)
        self.api = f"http://127.0.0.1:{port}"
        self.names = (f"proxy-{number}" for number in itertools.count())
        with self.starting():
            self.until("its API responds", lambda: responds_ok(f"{self.api}/version"))

    def call(self, method, path, body=None):
        status, text = http_request(method, f"{self.api}{path}", body)
        assert 200 <= status < 300, f"{method} {path}: {status} {text}"
        return json.loads(text) if text else None

    def proxy(self, upstream):
        """Creates a proxy in front of `upstream`."""
        name = next(self.names)
        address = f"127.0.0.1:{free_port()}"
        self.call("POST", "/proxies", {"name": name, "listen": address, "upstream": upstream})
        return Proxy(self, name, address)


class Proxy:
    def __init__(self, toxiproxy, name, address):
        self.toxiproxy, self.path, self.address = toxiproxy, f"/proxies/{name}", address

    @contextlib.contextmanager
    def toxic(self, type, stream="downstream", toxicity=1.0, **attributes):
        """Adds a toxic for the time of the `with` block. `stream` is upstream (from the client) or downstream."""
        toxic = Toxic(self, type, stream, toxicity, attributes)
        toxic.add()
        try:
            yield toxic
        finally:
            toxic.remove()

    @contextlib.contextmanager
    def down(self):
        """Refuses connections, and closes open ones, for the time of the `with` block."""
        self.enable(False)
        try:
            yield
        finally:
            self.enable(True)

    def restart(self):
        with self.down():
            pass

    def enable(self, enabled):
        self.toxiproxy.call("POST", self.path, {"enabled": enabled})

    def set_upstream(self, upstream):
        """Sets another upstream; open connections are closed."""
        self.toxiproxy.call("POST", self.path, {"upstream": upstream, "enabled": True})


class Toxic:
    def __init__(self, proxy, type, stream, toxicity, attributes):
        self.call, self.path = proxy.toxiproxy.call, f"{proxy.path}/toxics"
        self.name, self.toxicity = f"{type}-{stream}", toxicity
        self.attributes = {"name": self.name, "type": type, "stream": stream, "toxicity": toxicity, "attributes": attributes}

    def add(self):
        self.call("POST", self.path, self.attributes)

    def resample(self):
        """Draws again which open connections the toxic affects."""
        self.call("POST", f"{self.path}/{self.name}", self.attributes)

    def remove(self):
        self.call("DELETE", f"{self.path}/{self.name}")
