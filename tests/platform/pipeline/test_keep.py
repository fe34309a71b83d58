"""The second tag of a deployed image."""

import json
import subprocess

import pytest

from harness.process import ENVIRONMENT
from test_publish import repository, tags  # noqa: F401

OTHER_DIGEST = f"sha256:{'f' * 64}"


def crane(*arguments):
    done = subprocess.run(["crane", "--insecure", *arguments], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def push(name, layer="/dev/null"):
    """Pushes an image and returns its digest."""
    return crane("append", "--oci-empty-base", "--new_layer", str(layer), "--new_tag", name).partition("@")[2]


@pytest.fixture
def published(source, repository):  # noqa: F811
    """Returns a run, its repository, and the tag and the digest of an image in it."""
    commit = source.merge("Change something")
    return source.run(commit), repository, commit, push(f"{repository}:{commit}")


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_it_is_the_same_image(published, environment):
    run, repository, tag, digest = published  # noqa: F811
    run.prints("keep", environment, repository, tag, digest)
    assert tags(repository) == sorted([tag, f"{environment}-{tag}"])
    assert crane("digest", f"{repository}:{environment}-{tag}") == digest


def test_again_changes_nothing(published):
    run, repository, tag, digest = published  # noqa: F811
    run.prints("keep", "staging", repository, tag, digest)
    assert "already" in run("keep", "staging", repository, tag, digest).stderr
    assert crane("digest", f"{repository}:staging-{tag}") == digest


def test_it_is_for_all_platforms(source, repository):  # noqa: F811
    commit = source.merge("Change something")
    images = [push(f"{repository}:{platform}") for platform in ("amd64", "arm64")]
    manifests = [f"{repository}@{digest}" for digest in images]
    crane("index", "append", "--docker-empty-base=false", *(f"--manifest={name}" for name in manifests), "--tag", f"{repository}:{commit}")
    digest = crane("digest", f"{repository}:{commit}")
    source.run(commit).prints("keep", "staging", repository, commit, digest)
    tagged = f"{repository}:staging-{commit}"
    assert crane("digest", tagged) == digest
    assert "image.index" in json.loads(crane("manifest", tagged))["mediaType"]


def test_another_image(published, tmp_path):
    run, repository, tag, digest = published  # noqa: F811
    assert f"is {digest}, not" in run.error("keep", "staging", repository, tag, OTHER_DIGEST)
    assert "not there" in run.error("keep", "staging", repository, "a" * 40, digest)
    layer = tmp_path / "layer"
    layer.write_bytes(bytes(1024))
    push(f"{repository}:staging-{tag}", layer)
    assert "is another image" in run.error("keep", "staging", repository, tag, digest)
