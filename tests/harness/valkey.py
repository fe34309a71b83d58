"""Runs Valkey and Redis: single servers, a primary with a replica, a cluster."""

import contextlib
import socket

from .process import Process, wait_until
from .toxiproxy import free_port

SLOTS = 16384


class ServerError(Exception):
    """An error of the server, such as `NOAUTH Authentication required.`"""


class Client:
    """A minimal client of the Redis protocol."""

    def __init__(self, port, password=None):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.file = self.socket.makefile("rb")
        if password:
            self("AUTH", password)

    def __call__(self, *arguments):
        parts = [part if isinstance(part, bytes) else str(part).encode() for part in arguments]
        self.socket.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
        return self.read()

    def read(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError("the server closed the connection")
        kind, text = line[:1], line[1:-2]
        match kind:
            case b"+":
                return text.decode()
            case b"-":
                raise ServerError(text.decode())
            case b":":
                return int(text)
            case b"$":
                return None if text == b"-1" else self.file.read(int(text) + 2)[:-2]
            case b"*":
                return [self.read() for _ in range(int(text))]
        raise AssertionError(line)

    def close(self):
        self.file.close()
        self.socket.close()


class Server(Process):
    """A server on a free port, without persistence; the constructor returns when it responds. `options` are lines of its
    configuration, `directory` is its own. `through` is a command that executes it."""

    def __init__(self, directory, program="valkey-server", port=None, password=None, through=(), **options):
        directory.mkdir(exist_ok=True)
        self.directory, self.port, self.password = directory, port or free_port(), password
        self.command = [*through, program, directory / "server.conf"]
        self.options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": directory,
            "save": '""',
            "appendonly": "no",
            "daemonize": "no",
        } | {name.replace("_", "-"): value for name, value in options.items()}
        if password:
            self.options["requirepass"] = password
        self.launch()

    def launch(self):
        """Starts the process, also again after its end: without its data."""
        options = "".join(f"{name} {value}\n" for name, value in self.options.items())
        (self.directory / "server.conf").write_text(options)
        super().__init__(self.command, self.directory / "log")
        with self.starting():
            self.until("it responds", self.responds)

    def responds(self):
        with contextlib.suppress(OSError, EOFError, ServerError):
            return self("PING") == "PONG"
        return False

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        secret = f":{self.password}@" if self.password else ""
        return f"redis://{secret}{self.address}"

    def __call__(self, *arguments):
        """Executes a command over a connection of its own."""
        client = Client(self.port, self.password)
        try:
            return client(*arguments)
        finally:
            client.close()

    def kill(self):
        self.child.kill()
        self.child.wait()


class Cluster:
    """Three nodes, each with a third of the slots."""

    def __init__(self, directory, **options):
        directory.mkdir()
        with contextlib.ExitStack() as started:
            self.nodes = [
                started.enter_context(
                    Server(
                        directory / f"node-{number}",
                        # The port of the cluster's bus is 10,000 higher by default, which may be out of range.
                        cluster_port=free_port(),
                        cluster_enabled="yes",
                        cluster_node_timeout=1000,
                        **options,
                    )
                )
                for number in range(3)
            ]
            for number, node in enumerate(self.nodes):
                node("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            self.add_slots()
            for node in self.nodes[1:]:
                self.nodes[0]("CLUSTER", "MEET", "127.0.0.1", node.port, node.options["cluster-port"])
            for node in self.nodes:
                wait_until("every node knows the others", lambda node=node: self.is_ok(node))
            self.started = started.pop_all()

    def add_slots(self):
        """Gives each node its slots."""
        self._for_slots("ADDSLOTSRANGE")

    def remove_slots(self):
        """Takes all slots from the nodes, so that the cluster is down."""
        self._for_slots("DELSLOTSRANGE")

    def _for_slots(self, command):
        for number, node in enumerate(self.nodes):
            first, last = (SLOTS * bound // 3 for bound in (number, number + 1))
            node("CLUSTER", command, first, last - 1)

    def move(self, key):
        """Moves the slot of `key`, with all its keys, to the next node. Returns that node."""
        slot = self.nodes[0]("CLUSTER", "KEYSLOT", key)
        source = next(number for number, node in enumerate(self.nodes) if node("CLUSTER", "COUNTKEYSINSLOT", slot))
        source, target = self.nodes[source], self.nodes[(source + 1) % 3]
        source_id, target_id = (node("CLUSTER", "MYID").decode() for node in (source, target))
        target("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        source("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        while keys := source("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        for node in (target, source):
            node("CLUSTER", "SETSLOT", slot, "NODE", target_id)
        return target

    @staticmethod
    def is_ok(node):
        info = node("CLUSTER", "INFO").decode()
        return "cluster_state:ok" in info and "cluster_known_nodes:3" in info

    @property
    def url(self):
        return self.nodes[0].url

    def keys(self):
        """Returns the keys of all nodes."""
        return [key.decode() for node in self.nodes for key in node("KEYS", "*")]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.started.close()
