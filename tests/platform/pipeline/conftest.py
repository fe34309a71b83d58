"""Fixtures: the repository, a fake of GitHub, a registry and image builds."""

import itertools
import os

import pytest

from containers import Containers
from github import GitHub
from source import Source

from harness.registry import Registry

DIGESTS = (f"sha256:{number:064x}" for number in itertools.count(1))


@pytest.fixture
def digest():
    """`digest()` returns a unique digest."""
    return lambda: next(DIGESTS)


@pytest.fixture
def source(tmp_path):
    """Returns a repository with the files that a release needs."""
    (tmp_path / "source").mkdir()
    return Source(tmp_path / "source", only=("scripts/release", "scripts/github", "scripts/image", "scripts/audit", "Cargo.toml", "Cargo.lock", ".gitignore"))


@pytest.fixture
def merged(source, digest):
    """`merged()` merges a commit and returns a run of the pipeline for it, its tag, and a digest."""

    def merged(title="Change something"):
        commit = source.merge(title)
        return source.run(commit), commit, digest()

    return merged


@pytest.fixture
def github():
    with GitHub() as github:
        yield github


@pytest.fixture(scope="session")
def containers(tmp_path_factory):
    with Containers(tmp_path_factory.mktemp("containers")) as containers:
        # These images are never run, so they need not contain the service.
        (containers.directory / "nothing").write_text("nothing\n")
        container = containers.run("buildah", "from", "scratch")
        containers.run("buildah", "add", "--quiet", container, containers.directory / "nothing", "/")
        containers.run("buildah", "commit", "--quiet", "--rm", container, "localhost/shoutback-built")
        yield containers


@pytest.fixture(scope="session")
def registry(tmp_path_factory):
    with Registry(tmp_path_factory.mktemp("registry") / "log") as registry:
        yield registry


@pytest.fixture
def recorder(tmp_path):
    """`recorder(name, *lines)` creates a command that records its arguments and then runs these lines of shell."""
    folder = tmp_path / "recorders"
    folder.mkdir(exist_ok=True)

    class Recorder:
        def __init__(self, name, *lines):
            self.notes = folder / f"{name}.notes"
            self.notes.touch()
            note = f'printf "%s\\n" "$*" >>{self.notes}'
            command = folder / name
            command.write_text("\n".join(["#!/usr/bin/env bash", note, *lines, ""]))
            command.chmod(0o755)
            self.variables = {"PATH": f"{folder}:{os.environ['PATH']}"}

        def calls(self):
            return self.notes.read_text().splitlines()

    return Recorder
