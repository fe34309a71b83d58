"""podman and buildah with their own storage, a registry, and the base image."""

import json
import os
import re
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

from harness.process import ENVIRONMENT
from harness.shoutback import DEFAULTS, Shoutback, binary

BASE = "localhost/shoutback-built"

# As in a pod; Kubernetes mounts no writable folders over a read-only root.
LOCKED_DOWN = ["--read-only", "--read-only-tmpfs=false", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--memory=256m"]


class Containers:
    """A private storage, independent of the user's."""

    def __init__(self, directory):
        self.directory = directory
        # podman rejects a `runroot` of more than 50 characters, which one below TMPDIR may have.
        directories = ("/run", os.environ.get("XDG_RUNTIME_DIR"), "/tmp")
        parent = next(path for path in directories if path and os.access(path, os.W_OK))
        self.run_root = Path(tempfile.mkdtemp(prefix="shoutback-", dir=parent))
        storage, engine = directory / "storage.conf", directory / "containers.conf"
        storage.write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{directory}/images"\nrunroot = "{self.run_root}"\n',
        )
        # For a machine that may be a container, without systemd and without permission to raise limits.
        engine.write_text(
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\nlock_type = "file"\n'
            f'tmp_dir = "{self.run_root}/podman"\n'
        )
        self.variables = {
            "HOME": str(directory),
            "CONTAINERS_STORAGE_CONF": str(storage),
            "CONTAINERS_CONF": str(engine),
            # The build runs in a chroot, not in a container.
            "BUILDAH_ISOLATION": "chroot",
            "CONTAINER_TOOL": "buildah",
        }

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Layers stay mounted as long as a container exists.
        self.run("podman", "rm", "--all", "--force", succeeds=False)
        self.run("podman", "rmi", "--all", "--force", succeeds=False)
        shutil.rmtree(self.run_root, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def run(self, *command, succeeds=True):
        """Runs podman or buildah and returns its output."""
        command = [str(part) for part in command]
        done = subprocess.run(command, env=ENVIRONMENT | self.variables, capture_output=True, text=True)
        if succeeds and done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.returncode}\n{done.stderr}")
        return done.stdout.strip()

    def make_base(self):
        """Builds the base image of all releases: the stripped service and the libraries that it is linked with."""
        root = self.directory / "root"
        (root / "etc/ssl/certs").mkdir(parents=True)
        shutil.copy("/etc/ssl/certs/ca-certificates.crt", root / "etc/ssl/certs")
        subprocess.run(["strip", "-o", root / "shoutback", binary()], check=True)
        linked = subprocess.run(["ldd", binary()], check=True, capture_output=True, text=True).stdout
        for library in re.findall(r"(/\S+) \(", linked):
            (root / library[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, root / library[1:])
        container = self.run("buildah", "from", "scratch")
        self.run("buildah", "add", "--quiet", container, root, "/")
        self.run("buildah", "commit", "--quiet", "--rm", container, BASE)

    def pull(self, image):
        self.run("podman", "pull", "--quiet", "--tls-verify=false", image)


class Container(Shoutback):
    """The service in a container; the constructor returns when it is ready."""

    def __init__(self, containers, log, image, **variables):
        self.containers, self.name = containers, f"shoutback-{secrets.token_hex(4)}"
        given = [f"--env={name}={value}" for name, value in (DEFAULTS | variables).items()]
        podman = ["podman", "run", f"--name={self.name}", "--pull=never", "--no-healthcheck", "--network=host"]
        self.run([*podman, *LOCKED_DOWN, *given, image], log, containers.variables)

    def image(self):
        """Returns the digest of its image, according to podman."""
        details = json.loads(self.containers.run("podman", "inspect", self.name))[0]
        return details["ImageDigest"]

    def end(self):
        if self.child.poll() is None:
            self.containers.run("podman", "stop", "--time=10", self.name, succeeds=False)
            self.child.wait()
        self.containers.run("podman", "rm", "--force", self.name, succeeds=False)
