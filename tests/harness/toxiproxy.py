"""Toxiproxy: TCP proxies whose connections can be made to fare as on a bad network."""

import contextlib
import itertools
import json
import random
import socket
from pathlib import Path

from .process import Process, answers, ask


def free_port():
    """A port that no connection gets as its own: while a proxy is down, its port is anybody's."""
    lowest, highest = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    # Below the range, or above it where a machine is tuned to use nearly all of them.
    ports = range(10_000, lowest) or range(highest + 1, 65_536) or range(10_000, 65_536)
    while True:
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", random.choice(ports)))
            return listener.getsockname()[1]


class Toxiproxy(Process):
    def __init__(self, log):
        port = free_port()
        # The seed decides which connections a toxic of a toxicity below 1 befalls.
        super().__init__(["toxiproxy-server", "-host", "127.0.0.1", "-port", port, "-seed", 1], log)
        self.api = f"http://127.0.0.1:{port}"
        self.names = (f"proxy-{number}" for number in itertools.count())
        with self.starting():
            self.until("its API answers", lambda: answers(f"{self.api}/version"))

    def call(self, method, path, body=None):
        status, text = ask(method, f"{self.api}{path}", body)
        assert 200 <= status < 300, f"{method} {path}: {status} {text}"
        return json.loads(text) if text else None

    def proxy(self, upstream):
        """A new proxy on a port of its own, in front of `upstream`."""
        name = next(self.names)
        address = f"127.0.0.1:{free_port()}"
        self.call("POST", "/proxies", {"name": name, "listen": address, "upstream": upstream})
        return Proxy(self, name, address)


class Proxy:
    def __init__(self, toxiproxy, name, address):
        self.toxiproxy, self.path, self.address = toxiproxy, f"/proxies/{name}", address

    @contextlib.contextmanager
    def toxic(self, type, stream="downstream", toxicity=1.0, **attributes):
        """While this lasts, connections through the proxy suffer; `stream` is upstream (what the client sends) or downstream."""
        toxic = Toxic(self, type, stream, toxicity, attributes)
        toxic.add()
        try:
            yield toxic
        finally:
            toxic.remove()

    @contextlib.contextmanager
    def down(self):
        """While this lasts, connections are refused; those that were open are closed."""
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
        """Leads to another one from now on; connections that were open are closed."""
        self.toxiproxy.call("POST", self.path, {"upstream": upstream, "enabled": True})


class Toxic:
    def __init__(self, proxy, type, stream, toxicity, attributes):
        self.call, self.path = proxy.toxiproxy.call, f"{proxy.path}/toxics"
        self.name, self.toxicity = f"{type}-{stream}", toxicity
        self.described = {"name": self.name, "type": type, "stream": stream, "toxicity": toxicity, "attributes": attributes}

    def add(self):
        self.call("POST", self.path, self.described)

    def resample(self):
        """Decides anew which of the open connections it befalls."""
        self.call("POST", f"{self.path}/{self.name}", self.described)

    def remove(self):
        self.call("DELETE", f"{self.path}/{self.name}")
