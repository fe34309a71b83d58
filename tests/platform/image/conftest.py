"""Fixtures: the image, built by scripts/image from the real Dockerfile, its files, its configuration, and the service in it."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from container import Container, run
from harness.git import inherited
from harness.shoutback import Emulators

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def build(tmp_path_factory):
    """`build(tool)` returns the name that scripts/image prints. Builds use this machine's crates, so they need no network."""
    home = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    offline = tmp_path_factory.mktemp("cargo") / "config.toml"
    offline.write_text("[net]\noffline = true\n")
    volumes = [f"{home}/registry:/usr/local/cargo/registry:ro", f"{offline}:/usr/local/cargo/config.toml:ro"]
    subprocess.run(["cargo", "fetch", "--locked", "--quiet"], cwd=ROOT, check=True)
    # What the Dockerfile installs, with the crates of its lock file.
    [version] = re.findall(r"^ARG CARGO_AUDITABLE=(.*)$", (ROOT / "Dockerfile").read_text(), re.M)
    fetched, locked = tmp_path_factory.mktemp("fetched"), tmp_path_factory.mktemp("locked") / "cargo-auditable"
    (fetched / "Cargo.toml").write_text(f'[package]\nname = "fetched"\nedition = "2021"\n[lib]\npath = "lib.rs"\n[dependencies]\ncargo-auditable = "={version}"\n')
    (fetched / "lib.rs").touch()
    subprocess.run(["cargo", "fetch", "--quiet"], cwd=fetched, check=True)
    [source, *_] = home.glob(f"registry/src/*/cargo-auditable-{version}")
    shutil.copytree(source, locked)
    subprocess.run(["cargo", "fetch", "--locked", "--quiet"], cwd=locked, check=True)

    def build(tool):
        variables = {name: value for name, value in inherited().items() if name != "RUST_IMAGE"} | {"CONTAINER_TOOL": tool, "GITHUB_REPOSITORY": "example/shoutback"}
        options = ["--pull=never", *(f"--volume={volume}" for volume in volumes)]
        built = subprocess.run([ROOT / "scripts/image", *options], env=variables, stdout=subprocess.PIPE, text=True)
        assert built.returncode == 0
        return built.stdout.splitlines()[-1]

    yield build
    # Each commit would leave an image and 50 MB of layers.
    forget = ["podman", "image", "prune", "--force", "--filter=until=72h"]
    run(*forget, "--all", "--filter=label=org.opencontainers.image.title=shoutback")
    run(*forget)


@pytest.fixture(scope="session")
def image(build):
    return build("buildah")


@pytest.fixture(scope="session")
def description(image):
    return json.loads(run("podman", "image", "inspect", image).stdout)[0]


@pytest.fixture(scope="session")
def files(image):
    """Yields a folder with the image's root file system."""
    working = run("buildah", "from", "--pull=never", image).stdout.strip()
    try:
        yield Path(run("buildah", "mount", working).stdout.strip())
    finally:
        run("buildah", "rm", working)


@pytest.fixture(scope="session")
def emulators(tmp_path_factory):
    with Emulators(tmp_path_factory.mktemp("emulators") / "log") as emulators:
        yield emulators


@pytest.fixture
def shoutcloud(emulators):
    """Yields the emulators, with SHOUTCLOUD healthy."""
    emulators.behave()
    yield emulators
    emulators.behave()


@pytest.fixture
def start(image, shoutcloud, tmp_path):
    """`start(*options, ready=True, **variables)` starts the service in a container with the emulated SHOUTCLOUD."""
    running = []

    def start(*options, ready=True, **variables):
        variables = {"SHOUTCLOUD_URL": f"http://{shoutcloud.shoutcloud}/V1/SHOUT"} | variables
        running.append(Container(tmp_path / f"log-{len(running)}", image, options, ready, **variables))
        return running[-1]

    yield start
    for container in running:
        container.end()
