"""The second tag of a deployed image."""

import http.server
import json
import subprocess
import threading

import pytest

from harness.process import ENVIRONMENT
from test_publish import repository, tags  # noqa: F401

COMMIT = "a" * 40

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


class Guarded:
    """A registry that requires authentication, with one manifest."""

    def __init__(self, login, digest_header=None):
        self.requested = []
        guarded = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                guarded.requested.append(self.path)
                authorized = self.headers["authorization"] == f"Basic {login}"
                self.send_response(200 if authorized else 401)
                self.send_header("content-type", "application/vnd.oci.image.manifest.v1+json")
                if digest_header:
                    self.send_header("docker-content-digest", digest_header)
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


# The digest of its response of two bytes.
DIGEST = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


def keep(run, registry, **variables):
    return run("keep", "staging", f"{registry.host}/shoutback", COMMIT, DIGEST, **variables)


@pytest.mark.parametrize("variable, file", [("DOCKER_CONFIG", "config.json"), ("REGISTRY_AUTH_FILE", ""), ("HOME", ".docker/config.json")])
def test_the_stored_credentials_are_used(source, tmp_path, variable, file):
    run = source.run("main")
    with Guarded("b3duZXI6c2VjcmV0") as registry:
        login = tmp_path / "login"
        path = login / file if file else login
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"auths": {registry.host: {"auth": "b3duZXI6c2VjcmV0"}}}))
        done = keep(run, registry, **{variable: str(login)})
        assert done.returncode == 0 and "exists already" in done.stderr
        assert registry.requested == [f"/v2/shoutback/manifests/staging-{COMMIT}"]


def test_missing_credentials_are_an_error(source):
    with Guarded("b3duZXI6c2VjcmV0") as registry:
        assert "log in to" in keep(source.run("main"), registry).stderr


def test_a_manifest_with_another_digest_is_an_error(source, tmp_path):
    with Guarded("b3duZXI6c2VjcmV0", f"sha256:{'0' * 64}") as registry:
        (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": "b3duZXI6c2VjcmV0"}}}))
        assert "and sends" in keep(source.run("main"), registry, DOCKER_CONFIG=str(tmp_path)).stderr


def test_without_a_registry(source):
    done = source.run("main")("keep", "staging", "127.0.0.1:1/shoutback", COMMIT, DIGEST)
    assert done.returncode == 1 and "Connection refused" in done.stderr
