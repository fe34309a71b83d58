"""Fixtures: the repository, GitHub, a registry and what builds for it."""

import itertools
import os

import pytest

from containers import Containers, Registry
from github import GitHub
from source import Source

DIGESTS = (f"sha256:{number:064x}" for number in itertools.count(1))


@pytest.fixture
def digest():
    """`digest()`: one that no image has had."""
    return lambda: next(DIGESTS)


@pytest.fixture
def source(tmp_path):
    """A repository that has what a release is made with, and little else."""
    (tmp_path / "source").mkdir()
    return Source(tmp_path / "source", only=("scripts/release", "scripts/image", "Cargo.toml", ".gitignore"))


@pytest.fixture
def merged(source, digest):
    """`merged()`: a run of the pipeline for a new commit, its tag, and a digest for it."""

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
        # Nobody runs these, so that it need not be the service.
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
    """`recorder(name, *lines)`: a command of that name, which notes its arguments and then does as these lines of shell say."""
    folder = tmp_path / "recorders"
    folder.mkdir()

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
