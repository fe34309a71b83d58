"""Runs containers of the image by podman, with the restrictions of a pod."""

import json
import os
import secrets
import subprocess
import tempfile

from harness.process import ENVIRONMENT
from harness.shoutback import DEFAULTS, Shoutback

# The tools' variables, and a temporary home.
VARIABLES = {
    "HOME": tempfile.gettempdir(),
    **{name: os.environ[name] for name in ("CONTAINERS_STORAGE_CONF", "CONTAINERS_CONF", "BUILDAH_ISOLATION")},
}

LOCKED_DOWN = [
    "--read-only",
    # Without it podman mounts writable folders over the read-only root, unlike Kubernetes.
    "--read-only-tmpfs=false",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--memory=256m",
    "--pids-limit=64",
]


def run(*command, succeeds=True):
    """Runs buildah or podman. Returns the completed process."""
    done = subprocess.run([str(part) for part in command], env=ENVIRONMENT | VARIABLES, capture_output=True, text=True)
    if succeeds:
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


class Container(Shoutback):
    """The service in a container; the constructor returns when it is ready, unless `ready` is false. Logs the container's output."""

    def __init__(self, log, image, options=(), ready=True, **variables):
        self.name = f"shoutback-{secrets.token_hex(4)}"
        environment = [f"--env={name}={value}" for name, value in (DEFAULTS | variables).items()]
        # The tests check the health, not a timer of systemd.
        podman = ["podman", "run", f"--name={self.name}", "--pull=never", "--no-healthcheck", "--network=host"]
        self.run([*podman, *LOCKED_DOWN, *options, *environment, image], log, VARIABLES, ready)

    def inspect(self):
        return json.loads(run("podman", "inspect", self.name).stdout)[0]

    def execute(self, *command):
        """Runs a command in the container, with the service's admin address, and returns its exit code."""
        return run("podman", "exec", f"--env=ADMIN_ADDR={self.admin}", self.name, *command, succeeds=False).returncode

    def signal(self, name):
        run("podman", "kill", f"--signal={name}", self.name)

    def ended(self):
        """Waits for the exit code and returns it."""
        return self.child.wait(timeout=60)

    def end(self):
        if self.child.poll() is None:
            run("podman", "kill", self.name, succeeds=False)
            self.child.wait()
        run("podman", "rm", "--force", self.name, succeeds=False)
