"""The build of the image: the build context, the choice of the tool, and Dockerfile linting."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from container import run
from harness.git import git
from harness.process import GIT

ROOT = Path(__file__).resolve().parents[3]

# Programs that scripts/image runs besides the build tools.
COMMANDS = ["bash", "cut", "date", "dirname", "find", "git", "head", "sed", "sort", "tail"]

INPUTS = ["Dockerfile", ".dockerignore", "Cargo.toml", "Cargo.lock", "build.rs", "emulators/Cargo.toml"]

WORKS = 'echo "$(basename "$0") $*" >>"$RECORD"'
NO_ENGINE = 'echo "Cannot connect to the Docker daemon" >&2; exit 1'
# A client without an engine. Its `build` is recorded, so that a test detects its use.
DOCKER_CLIENT = f'{WORKS}; [ "$1" = --version ] || {{ {NO_ENGINE}; }}'


def test_the_linter_finds_nothing():
    linted = subprocess.run(["hadolint", ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (linted.stdout, linted.returncode) == ("", 0)


def test_the_compiler_is_the_pinned_one():
    [version] = re.findall('^channel = "(.*)"$', (ROOT / "rust-toolchain.toml").read_text(), re.M)
    assert f"ARG RUST_IMAGE=rust:{version}-slim-bookworm\n" in (ROOT / "Dockerfile").read_text()


def test_the_build_context_is_minimal(tmp_path):
    context = tmp_path / "context"
    (context / "src/http").mkdir(parents=True)
    expected = ["Cargo.lock", "Cargo.toml", "build.rs", "emulators/Cargo.toml", "src/http/docs.rs", "src/main.rs"]
    planted = [".env", ".git/config", ".cargo/credentials.toml", "Dockerfile", "emulators/src/lib.rs", "key.pem", "target/release/shoutback", "tests/src/a.rs"]
    for name in expected + planted:
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).touch()
    shutil.copy(ROOT / ".dockerignore", context)
    recipe = tmp_path / "Dockerfile"
    recipe.write_text("FROM scratch\nCOPY . /\n")
    image = run("buildah", "build", "--quiet", f"--file={recipe}", context).stdout.strip()
    try:
        working = run("buildah", "from", "--pull=never", image).stdout.strip()
        try:
            files = Path(run("buildah", "mount", working).stdout.strip())
            assert sorted(str(path.relative_to(files)) for path in files.rglob("*") if path.is_file()) == expected
        finally:
            run("buildah", "rm", working)
    finally:
        run("buildah", "rmi", image)


def test_podman_builds_the_same(build, image):
    before = run("podman", "image", "inspect", "--format={{.Id}}", image).stdout
    assert build("podman") == image
    assert run("podman", "image", "inspect", "--format={{.Id}}", image).stdout == before


class Checkout:
    """A repository with one commit, in which scripts/image finds the tools that a test puts on its PATH."""

    def __init__(self, directory):
        self.root, self.bin, self.record = directory / "checkout", directory / "bin", directory / "record"
        (self.root / "scripts").mkdir(parents=True)
        (self.root / "src").mkdir()
        self.bin.mkdir()
        shutil.copy(ROOT / "scripts/image", self.root / "scripts")
        for name in INPUTS:
            (self.root / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, self.root / name)
        (self.root / "src/main.rs").write_text("fn main() {}\n")
        for command in COMMANDS:
            (self.bin / command).symlink_to(shutil.which(command))
        self.git("init", "--quiet")
        self.git("add", ".")
        self.git("commit", "--quiet", "--message=All")
        self.commit = self.git("rev-parse", "HEAD")

    def git(self, *arguments):
        return git(self.root, *arguments, TZ="UTC0")

    def tool(self, name, does=WORKS):
        path = self.bin / name
        path.write_text(f"#!/bin/sh\nPATH={os.environ['PATH']}\n{does}\n")
        path.chmod(0o755)

    def build(self, *arguments, **variables):
        self.record.write_text("")
        environment = GIT | {"PATH": str(self.bin), "RECORD": str(self.record)} | variables
        return subprocess.run([self.root / "scripts/image", *arguments], env=environment, capture_output=True, text=True)

    def commands(self):
        """Returns the commands of the tools, each as a list."""
        return [line.split() for line in self.record.read_text().splitlines()]

    def builds(self):
        return [command for command in self.commands() if command[1] == "build"]


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


def test_docker_is_preferred_to_podman_and_podman_to_buildah(checkout):
    for tool in ["buildah", "podman", "docker"]:
        checkout.tool(tool)
        assert checkout.build().returncode == 0
        assert [command[0] for command in checkout.builds()] == [tool]


def test_docker_without_an_engine_is_skipped_with_a_message(checkout):
    checkout.tool("docker", DOCKER_CLIENT)
    checkout.tool("podman")
    built = checkout.build()
    assert [command[0] for command in checkout.builds()] == ["podman"]
    assert [line for line in built.stderr.splitlines() if "docker is here but does not work" in line]


def test_a_podman_that_does_not_work_is_skipped(checkout):
    checkout.tool("podman", "exit 125")
    checkout.tool("buildah")
    built = checkout.build()
    assert [command[0] for command in checkout.builds()] == ["buildah"]
    assert "podman is here but does not work" in built.stderr


@pytest.mark.parametrize("tools", [{}, {"docker": DOCKER_CLIENT}])
def test_without_a_tool_it_names_one_to_install(checkout, tools):
    for name, does in tools.items():
        checkout.tool(name, does)
    built = checkout.build()
    assert (built.returncode, built.stdout) == (1, "")
    assert "error: docker, podman or buildah builds the image" in built.stderr
    assert "apt-get install podman" in built.stderr
    assert not checkout.builds()


def test_the_tool_can_be_chosen(checkout):
    for tool in ["docker", "podman", "buildah"]:
        checkout.tool(tool)
    assert checkout.build(CONTAINER_TOOL="buildah").returncode == 0
    assert [command[0] for command in checkout.builds()] == ["buildah"]
    built = checkout.build(CONTAINER_TOOL="nerdctl")
    assert built.returncode == 2
    assert "nerdctl" in built.stderr
    assert not checkout.commands()


def test_its_tag_is_the_commit(checkout):
    checkout.tool("docker")
    built = checkout.build("--label", "a=b")
    [command] = checkout.builds()
    assert built.stdout == f"shoutback:{checkout.commit}\n"
    tags = [argument.removeprefix("--tag=") for argument in command if argument.startswith("--tag=")]
    assert tags == [f"shoutback:{checkout.commit}", "shoutback"]
    arguments = dict(command[at + 1].split("=", 1) for at, argument in enumerate(command) if argument == "--build-arg")
    assert arguments["REVISION"] == checkout.commit
    assert arguments["CREATED"] == checkout.git("log", "-1", "--date=format-local:%Y-%m-%dT%H:%M:%SZ", "--format=%cd")
    assert command[-3:] == ["--label", "a=b", "."]


@pytest.mark.parametrize(
    ("remote", "variables", "source"),
    [
        (None, {}, ""),
        ("https://github.com/example/shoutback.git", {}, "https://github.com/example/shoutback"),
        ("git@github.com:example/shoutback", {}, "https://github.com/example/shoutback"),
        ("https://github.com/fork/shoutback", {"GITHUB_REPOSITORY": "example/shoutback"}, "https://github.com/example/shoutback"),
    ],
)
def test_it_names_its_source(checkout, remote, variables, source):
    checkout.tool("docker")
    if remote:
        checkout.git("remote", "add", "origin", remote)
    checkout.build(**variables)
    [command] = checkout.builds()
    assert f"SOURCE={source}" in command


@pytest.mark.parametrize("change", ["src/main.rs", "src/new.rs", "Cargo.lock"])
def test_uncommitted_changes_are_marked_dirty(checkout, change):
    checkout.tool("docker")
    (checkout.root / "notes.md").write_text("not part of the image\n")
    assert checkout.build().stdout == f"shoutback:{checkout.commit}\n"
    (checkout.root / change).write_text("changed\n")
    built = checkout.build()
    assert built.stdout == f"shoutback:{checkout.commit}-dirty\n"
    assert "in no commit" in built.stderr
    [command] = checkout.builds()
    assert f"REVISION={checkout.commit}-dirty" in command
    first = command
    checkout.build()
    assert checkout.builds() == [first]


@pytest.mark.parametrize("tool", ["podman", "buildah"])
def test_a_missing_base_is_pulled_as_docker_does(checkout, tool):
    checkout.tool(tool)
    checkout.build(RUST_IMAGE="rust:1-slim@sha256:digest")
    assert [tool, "pull", "docker://rust@sha256:digest"] in checkout.commands()
    [command] = checkout.builds()
    assert "RUST_IMAGE=rust:1-slim@sha256:digest" in command
    checkout.tool(tool, f'{WORKS}; [ "$1" != images ] || echo 0123456789ab')
    checkout.build()
    assert "pull" not in [command[1] for command in checkout.commands()]
