"""Building and pushing."""

import http.server
import json
import re
import shutil
import threading

import pytest

from harness.git import git
from harness.process import http_request
from source import ROOT


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
def test_its_only_tag_is_the_commit(run, repository, containers, tool):
    digest = run.prints("publish", repository, CONTAINER_TOOL=tool)
    assert tags(repository) == [run.commit]
    containers.pull(f"{repository}@{digest}")
    [inspected] = json.loads(containers.run("podman", "image", "inspect", f"{repository}@{digest}"))
    assert inspected["Digest"] == digest
    assert inspected["Labels"]["org.opencontainers.image.revision"] == run.commit


def test_again_builds_nothing(run, repository, recorder):
    digest = run.prints("publish", repository)
    none = recorder("buildah", "exit 1")
    assert run.prints("publish", repository, **none.variables) == digest
    assert none.calls() == []


def test_the_local_copy_is_removed(run, repository, containers):
    run.prints("publish", repository)
    assert run.commit not in containers.run("podman", "images", "--all", "--format", "{{.Tag}}")


def test_another_run_pushes_first(run, repository, recorder):
    """With immutable tags the second push is rejected."""
    second = recorder("buildah", f'{shutil.which("buildah")} "$@" || exit', '[[ $1 != push ]]')
    done = run("publish", repository, **second.variables)
    assert done.returncode == 0, done.stderr
    assert "by another run in the meantime" in done.stderr
    assert done.stdout.strip() == run.prints("publish", repository)


def test_uncommitted_changes_are_not_pushed(run, repository):
    (run.directory / "Dockerfile").write_text("FROM scratch\n")
    assert "in no commit" in run.error("publish", repository)
    assert tags(repository) == []


def test_a_build_that_fails(run, repository, recorder):
    broken = recorder("buildah", "[[ $1 != build ]]")
    assert "was not pushed" in run.error("publish", repository, **broken.variables)
    assert tags(repository) == []


def test_without_a_registry_nothing_is_built(run, recorder):
    none = recorder("buildah", "exit 1")
    assert "Connection refused" in run.error("publish", "127.0.0.1:1/shoutback", **none.variables)
    assert none.calls() == []


@pytest.mark.parametrize("name", ["shoutback", "127.0.0.1:5000/shoutback:latest", "https://127.0.0.1/shoutback"])
def test_invalid_repositories_are_wrong_usage(run, name):
    run.error("publish", name, code=2)


@pytest.mark.parametrize("on_actions", [True, False])
def test_docker_builds_for_every_platform(run, repository, recorder, on_actions):
    """Without Docker's engine: its arguments are recorded, and another image is pushed instead."""
    push = f"[[ $1 != buildx ]] || crane append --insecure --oci-empty-base --new_layer /dev/null --new_tag {repository}:{run.commit}"
    docker = recorder("docker", f"{push} >/dev/null")
    token = {"ACTIONS_RUNTIME_TOKEN": "token"} if on_actions else {}
    run.prints("publish", repository, CONTAINER_TOOL="docker", **docker.variables, **token)
    [call] = docker.calls()
    assert call.startswith("buildx build --output type=image,push=true,rewrite-timestamp=true --platform linux/amd64,linux/arm64 --sbom=true --provenance=mode=max ")
    scopes = re.findall(r"^ +scope: (\S+)$", (ROOT / ".github/workflows/main.yml").read_text(), re.M)
    assert len(scopes) == 2
    assert re.findall(r"--cache-from (\S+)", call) == ([f"type=gha,scope={scope}" for scope in scopes] if on_actions else [])
    assert [part for part in call.split() if part.startswith("--tag")] == [f"--tag={repository}:{run.commit}"]
    assert f"REVISION={run.commit}" in call

    assert run.prints("publish", repository, CONTAINER_TOOL="docker", **docker.variables)
    assert len(docker.calls()) == 1


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


@pytest.mark.parametrize("variable, file", [("DOCKER_CONFIG", "config.json"), ("REGISTRY_AUTH_FILE", ""), ("HOME", ".docker/config.json")])
def test_the_stored_credentials_are_used(run, tmp_path, variable, file):
    with Guarded("b3duZXI6c2VjcmV0") as registry:
        login = tmp_path / "login"
        path = login / file if file else login
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"auths": {registry.host: {"auth": "b3duZXI6c2VjcmV0"}}}))
        assert run.prints("publish", f"{registry.host}/shoutback", **{variable: str(login)}) == DIGEST
        assert registry.requested == [f"/v2/shoutback/manifests/{run.commit}"]


def test_missing_credentials_are_an_error(run):
    with Guarded("b3duZXI6c2VjcmV0") as registry:
        assert "log in to" in run.error("publish", f"{registry.host}/shoutback")


def test_a_manifest_with_another_digest_is_an_error(run, tmp_path):
    with Guarded("b3duZXI6c2VjcmV0", f"sha256:{'0' * 64}") as registry:
        (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": "b3duZXI6c2VjcmV0"}}}))
        assert "and sends" in run.error("publish", f"{registry.host}/shoutback", DOCKER_CONFIG=str(tmp_path))
