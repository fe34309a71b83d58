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
    """A repository of this test's own."""
    return f"{registry.host}/{tmp_path.name.replace('_', '-')}/shoutback"


def tags(repository):
    host, _, name = repository.partition("/")
    status, text = http_request("GET", f"http://{host}/v2/{name}/tags/list")
    return sorted(json.loads(text)["tags"]) if status == 200 else []


@pytest.mark.parametrize("tool", ["buildah", "podman"])
def test_it_is_there_by_its_commit_alone(run, repository, containers, tool):
    digest = run.prints("publish", repository, CONTAINER_TOOL=tool)
    assert tags(repository) == [run.commit]
    containers.pull(f"{repository}@{digest}")
    [told] = json.loads(containers.run("podman", "image", "inspect", f"{repository}@{digest}"))
    assert told["Digest"] == digest
    assert told["Labels"]["org.opencontainers.image.revision"] == run.commit


def test_again_builds_nothing(run, repository, recorder):
    digest = run.prints("publish", repository)
    none = recorder("buildah", "exit 1")
    assert run.prints("publish", repository, **none.variables) == digest
    assert none.calls() == []


def test_nothing_is_left_behind_by_that_name(run, repository, containers):
    run.prints("publish", repository)
    assert run.commit not in containers.run("podman", "images", "--all", "--format", "{{.Tag}}")


def test_somebody_else_is_first(run, repository, recorder):
    """As where tags cannot be moved: whoever comes second is refused."""
    second = recorder("buildah", f'{shutil.which("buildah")} "$@" || exit', '[[ $1 != push ]]')
    done = run("publish", repository, **second.variables)
    assert done.returncode == 0, done.stderr
    assert "by another run in the meantime" in done.stderr
    assert done.stdout.strip() == run.prints("publish", repository)


def test_what_is_in_no_commit_is_not_pushed(run, repository):
    (run.directory / "Dockerfile").write_text("FROM scratch\n")
    assert "in no commit" in run.refused("publish", repository)
    assert tags(repository) == []


def test_a_build_that_fails(run, repository, recorder):
    broken = recorder("buildah", "[[ $1 != build ]]")
    assert "was not pushed" in run.refused("publish", repository, **broken.variables)
    assert tags(repository) == []


def test_no_registry_is_no_reason_to_build(run, recorder):
    none = recorder("buildah", "exit 1")
    assert "Connection refused" in run.refused("publish", "127.0.0.1:1/shoutback", **none.variables)
    assert none.calls() == []


@pytest.mark.parametrize("name", ["shoutback", "127.0.0.1:5000/shoutback:latest", "https://127.0.0.1/shoutback"])
def test_what_is_no_repository(run, name):
    run.refused("publish", name, code=2)


@pytest.mark.parametrize("on_actions", [True, False])
def test_docker_builds_for_every_platform(run, repository, recorder, on_actions):
    """No engine of Docker's takes part: what it is told is noted, and something pushed in its place."""
    push = f"[[ $1 != buildx ]] || crane append --insecure --oci-empty-base --new_layer /dev/null --new_tag {repository}:{run.commit}"
    docker = recorder("docker", f"{push} >/dev/null")
    token = {"ACTIONS_RUNTIME_TOKEN": "token"} if on_actions else {}
    run.prints("publish", repository, CONTAINER_TOOL="docker", **docker.variables, **token)
    [call] = docker.calls()
    assert call.startswith("buildx build --push --platform linux/amd64,linux/arm64 --sbom=true --provenance=mode=max ")
    kept = re.findall(r"^ +scope: (\S+)$", (ROOT / ".github/workflows/main.yml").read_text(), re.M)
    assert len(kept) == 2
    assert re.findall(r"--cache-from (\S+)", call) == ([f"type=gha,scope={scope}" for scope in kept] if on_actions else [])
    assert [part for part in call.split() if part.startswith("--tag")] == [f"--tag={repository}:{run.commit}"]
    assert f"REVISION={run.commit}" in call

    assert run.prints("publish", repository, CONTAINER_TOOL="docker", **docker.variables)
    assert len(docker.calls()) == 1


class Guarded:
    """A registry that wants to know who asks, and has one manifest."""

    def __init__(self, login, digest_header=None):
        self.asked = []
        guarded = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                guarded.asked.append(self.path)
                let_in = self.headers["authorization"] == f"Basic {login}"
                self.send_response(200 if let_in else 401)
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


# Of the two bytes that it sends.
DIGEST = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


@pytest.mark.parametrize("variable, file", [("DOCKER_CONFIG", "config.json"), ("REGISTRY_AUTH_FILE", ""), ("HOME", ".docker/config.json")])
def test_it_is_whoever_has_logged_in(run, tmp_path, variable, file):
    with Guarded("b3duZXI6c2VjcmV0") as registry:
        login = tmp_path / "login"
        path = login / file if file else login
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"auths": {registry.host: {"auth": "b3duZXI6c2VjcmV0"}}}))
        assert run.prints("publish", f"{registry.host}/shoutback", **{variable: str(login)}) == DIGEST
        assert registry.asked == [f"/v2/shoutback/manifests/{run.commit}"]


def test_nobody_has_logged_in(run):
    with Guarded("b3duZXI6c2VjcmV0") as registry:
        assert "log in to" in run.refused("publish", f"{registry.host}/shoutback")


def test_a_registry_that_sends_something_else(run, tmp_path):
    with Guarded("b3duZXI6c2VjcmV0", f"sha256:{'0' * 64}") as registry:
        (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": "b3duZXI6c2VjcmV0"}}}))
        assert "and sends" in run.refused("publish", f"{registry.host}/shoutback", DOCKER_CONFIG=str(tmp_path))
