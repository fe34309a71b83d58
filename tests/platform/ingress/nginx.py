"""The real NGINX, configured as the controller would, and reloaded as it does."""

import contextlib
import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess

from controller import Place, configuration
from harness.process import ENVIRONMENT, Process


def version():
    printed = subprocess.run(["nginx", "-v"], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, check=True).stderr
    return tuple(int(number) for number in re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", printed).groups())


class Nginx(Process):
    """`endpoints` are the addresses behind the Ingress' one Service; `edit` changes what the controller would write."""

    def __init__(self, directory, ingress, entries, secrets, endpoints, edit=None, balancer="127.0.0.1"):
        # Workers of a root's NGINX would be nobody, who may not write into this folder. Not getpass.getuser(): sudo may keep LOGNAME.
        user = "root" if os.geteuid() == 0 else None
        self.place = Place(directory, free_port(), free_port(), version(), user, balancer)
        self.ingress, self.entries, self.secrets = ingress, entries, secrets
        self.configured, self.edit = 0, edit or (lambda written: written)
        self._configure(endpoints)
        super().__init__(["nginx", "-p", directory, "-c", directory / "nginx.conf"], directory / "log")
        with self.starting():
            self._until_configured()

    def reload(self, endpoints):
        """As after a change of endpoints: over when workers with the new configuration answer."""
        self._configure(endpoints)
        self.child.send_signal(signal.SIGHUP)
        self._until_configured()

    def output(self):
        """Its error log, which quotes callers as they are."""
        return self.log.read_text(errors="replace")

    def access_log(self):
        """The bytes of each line."""
        return self.place.access_log.read_bytes().splitlines()

    def requests(self):
        return [json.loads(line) for line in self.access_log()]

    def _configure(self, endpoints):
        self.configured += 1
        (path,) = self.ingress["spec"]["rules"][0]["http"]["paths"]
        service = path["backend"]["service"]
        endpoints = {(service["name"], service["port"]["name"]): endpoints}
        written = configuration(self.ingress, self.entries, endpoints, self.secrets, self.place, self.configured)
        (self.place.directory / "nginx.conf").write_text(self.edit(written))

    def _until_configured(self):
        self.until("NGINX has its configuration", lambda: self._answered() == str(self.configured))

    def _answered(self):
        connection = http.client.HTTPConnection("config-version", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.connect(str(self.place.version_socket))
            connection.request("GET", "/configVersion")
            return connection.getresponse().read().decode()
        except (ConnectionError, FileNotFoundError):
            return None
        finally:
            connection.close()


def free_port():
    """One that nobody listens on, for a server which cannot choose its own; below those that the kernel gives to connections, of
    which one could be just that by the time it is used."""
    while True:
        port = random.randrange(15000, 32000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
