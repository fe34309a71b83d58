"""Building and pushing."""

import json
import platform
import shutil
import subprocess

import pytest

from harness.git import git
from harness.process import ENVIRONMENT, http_request


@pytest.fixture
def run(source, containers):
    run = source.run(source.merge("Change something"), containers.variables)
    run.commit = git(run.directory, "rev-parse", "HEAD")
    return run


@pytest.fixture
def repository(registry, tmp_path):
    """Returns the name of a repository for this test."""
    return f"{registry.host}/{tmp_path.name.replace('_', '-')}/shoutback"


def tags(repository):
    host, _, name = repository.partition("/")
    status, text = http_request("GET", f"http://{host}/v2/{name}/tags/list")
    return sorted(json.loads(text)["tags"]) if status == 200 else []


@pytest.mark.parametrize("tool", ["buildah", "podman"])
def test_the_digest_is_that_of_the_build(run, repository, containers, tool):
    digest = run.prints("../image", PUSH_TO=repository, CONTAINER_TOOL=tool)
    # The tag of the commit belongs to the index of all platforms.
    assert tags(repository) == [f"{run.commit}-{platform.machine()}"]
    containers.pull(f"{repository}@{digest}")
    [inspected] = json.loads(containers.run("podman", "image", "inspect", f"{repository}@{digest}"))
    assert inspected["Digest"] == digest
    assert inspected["Labels"]["org.opencontainers.image.revision"] == run.commit

    index = run.prints("publish", repository, digest, GITHUB_REPOSITORY="example/shoutback")
    assert run.commit in tags(repository)
    containers.pull(f"{repository}@{index}")


def test_a_registry_that_says_otherwise(run, repository, recorder):
    """Another image is pushed under the same tag in the same moment: what counts is what the build has reported."""
    other = f"crane append --insecure --oci-empty-base --new_layer /dev/null --new_tag {repository}:{run.commit}-{platform.machine()} >/dev/null"
    buildah = recorder("buildah", f'{shutil.which("buildah")} "$@" || exit', f"[[ $1 != push ]] || {other}")
    digest = run.prints("../image", PUSH_TO=repository, **buildah.variables)
    assert digest != subprocess.run(
        ["crane", "digest", "--insecure", f"{repository}:{run.commit}-{platform.machine()}"], env=ENVIRONMENT, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_local_copy_is_removed(run, repository, containers):
    run.prints("../image", PUSH_TO=repository)
    assert run.commit not in containers.run("podman", "images", "--all", "--format", "{{.Tag}}")


def test_uncommitted_changes_are_not_pushed(run, repository):
    (run.directory / "Dockerfile").write_text("FROM scratch\n")
    assert "in no commit" in run.error("../image", PUSH_TO=repository)
    assert tags(repository) == []


def test_a_build_that_fails(run, repository, recorder):
    broken = recorder("buildah", "[[ $1 != build ]]")
    run.error("../image", PUSH_TO=repository, **broken.variables)
    assert tags(repository) == []


def test_a_push_that_reports_nothing(run, repository, recorder):
    silent = recorder("buildah", f'[[ $1 == push ]] || {shutil.which("buildah")} "$@"')
    run.error("../image", PUSH_TO=repository, **silent.variables)


METADATA = """{{
  "containerimage.config.digest": "sha256:{0}",
  "containerimage.digest": "sha256:{1}",
  "image.name": "example/shoutback"
}}"""


def test_docker_pushes_by_digest(run, repository, recorder, tmp_path):
    """Without Docker's engine: its arguments are recorded, and its report is what buildx writes."""
    (tmp_path / "metadata").write_text(METADATA.format("c" * 64, "d" * 64))
    docker = recorder("docker", f'while (($# > 0)); do [[ $1 != --metadata-file ]] || cp {tmp_path}/metadata "$2"; shift; done; echo noise')
    assert run.prints("../image", CONTAINER_TOOL="docker", PUSH_TO=repository, **docker.variables) == f"sha256:{'d' * 64}"
    [call] = docker.calls()
    output = f"type=image,name={repository},push-by-digest=true,name-canonical=true,push=true,rewrite-timestamp=true"
    assert call.startswith(f"buildx build --provenance=false --sbom=false --output {output} --metadata-file ")
    assert "--tag" not in call and "--cache" not in call and f"REVISION={run.commit}" in call
