"""Runs the real NGINX, configured and reloaded as by the controller."""

import contextlib
import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess

from controller import Layout, configuration
from harness.process import ENVIRONMENT, Process


def version():
    printed = subprocess.run(["nginx", "-v"], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, check=True).stderr
    return tuple(int(number) for number in re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", printed).groups())


class Nginx(Process):
    """An NGINX. `endpoints` are the addresses of the Ingress' Service; `edit` changes the controller's configuration."""

    def __init__(self, directory, ingress, entries, secrets, endpoints, edit=None, balancer="127.0.0.1"):
        # Started as root, workers would run as `nobody`, which cannot write to this folder. Not getpass.getuser(): sudo may preserve LOGNAME.
        user = "root" if os.geteuid() == 0 else None
        self.layout = Layout(directory, free_port(), free_port(), version(), user, balancer)
        self.ingress, self.entries, self.secrets = ingress, entries, secrets
        self.configured, self.edit = 0, edit or (lambda written: written)
        self._configure(endpoints)
        super().__init__(["nginx", "-p", directory, "-c", directory / "nginx.conf"], directory / "log")
        with self.starting():
            self._until_configured()

    def reload(self, endpoints):
        """Reloads, as after a change of endpoints. Returns when workers with the new configuration respond."""
        self._configure(endpoints)
        self.child.send_signal(signal.SIGHUP)
        self._until_configured()

    def output(self):
        """Returns the error log, which quotes clients' input in any encoding."""
        return self.log.read_text(errors="replace")

    def access_log(self):
        """Returns the lines of the access log as bytes."""
        return self.layout.access_log.read_bytes().splitlines()

    def requests(self):
        return [json.loads(line) for line in self.access_log()]

    def _configure(self, endpoints):
        self.configured += 1
        (path,) = self.ingress["spec"]["rules"][0]["http"]["paths"]
        service = path["backend"]["service"]
        endpoints = {(service["name"], service["port"]["name"]): endpoints}
        written = configuration(self.ingress, self.entries, endpoints, self.secrets, self.layout, self.configured)
        (self.layout.directory / "nginx.conf").write_text(self.edit(written))

    def _until_configured(self):
        self.until("NGINX has its configuration", lambda: self._served_version() == str(self.configured))

    def _served_version(self):
        connection = http.client.HTTPConnection("config-version", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.connect(str(self.layout.version_socket))
            connection.request("GET", "/configVersion")
            return connection.getresponse().read().decode()
        except (ConnectionError, FileNotFoundError):
            return None
        finally:
            connection.close()


def free_port():
    """Returns a free port for a server that cannot choose one; outside the ephemeral range, from which the kernel could assign it to a
    connection in the meantime."""
    while True:
        port = random.randrange(15000, 32000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
