"""What a digest has to prove before production accepts it: a real registry, and real signatures by a key of this machine."""

import base64
import http.server
import json
import subprocess
import threading
import urllib.error
import urllib.request

import pytest

from harness.git import git
from harness.process import ENVIRONMENT

REPOSITORY = "example/shoutback"

RUN = {
    "GITHUB_REPOSITORY": REPOSITORY,
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_RUN_ID": "7",
    "GITHUB_RUN_ATTEMPT": "1",
    "GITHUB_EVENT_NAME": "push",
}


def tool(*arguments, **variables):
    done = subprocess.run([str(part) for part in arguments], env=ENVIRONMENT | variables, capture_output=True, text=True)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done.stdout.strip()


def push(name, layer="/dev/null", architecture="amd64"):
    """Pushes an image and returns its digest."""
    tool("crane", "--insecure", "append", "--oci-empty-base", "--new_layer", layer, "--new_tag", name)
    return tool("crane", "--insecure", "mutate", name, "--set-platform", f"linux/{architecture}", "--tag", name).partition("@")[2]


class Key:
    """A pair of keys, and the variables by which the programs use it."""

    def __init__(self, directory):
        directory.mkdir()
        subprocess.run(
            ["cosign", "generate-key-pair"], cwd=directory, env=ENVIRONMENT | {"COSIGN_PASSWORD": "", "HOME": str(directory)}, check=True, capture_output=True
        )
        self.private = directory / "cosign.key"
        self.variables = {
            "COSIGN_PASSWORD": "",
            "HOME": str(directory),
            "SIGNING_KEY": str(self.private),
            "VERIFICATION_KEY": str(directory / "cosign.pub"),
        }

    def attest(self, image, kind, predicate, directory):
        """Attests whatever a test likes."""
        file = directory / "predicate.json"
        file.write_text(json.dumps(predicate))
        options = ["--yes", "--key", self.private, "--use-signing-config=false", "--tlog-upload=false"]
        tool("cosign", "attest", *options, "--type", kind, "--predicate", file, image, **self.variables)


@pytest.fixture(scope="session")
def key(tmp_path_factory):
    """What main.yml has, in the place of its identity."""
    return Key(tmp_path_factory.mktemp("keys") / "pipeline")


@pytest.fixture(scope="session")
def foreign(tmp_path_factory):
    return Key(tmp_path_factory.mktemp("keys") / "somebody")


@pytest.fixture
def repository(registry, tmp_path):
    return f"{registry.host}/{tmp_path.name.replace('_', '-')}/shoutback"


SPDX = {"packages": [{"name": "tokio", "externalRefs": [{"referenceType": "purl", "referenceLocator": "pkg:cargo/tokio@1.0.0"}]}]}


@pytest.fixture
def bom(tmp_path):
    """`bom(document)` is what syft prints; at first an SBOM with a crate."""
    file = tmp_path / "bom.json"

    def bom(document):
        file.write_text(json.dumps({"spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "name": "image"} | document))
        return file

    bom(SPDX)
    bom.file = file
    return bom


@pytest.fixture
def build(source, key, repository, recorder, bom):
    """`build(title)` merges a commit and builds and publishes it as main.yml does; returns the run, the commit, and the digest."""
    syft = recorder("syft", f"cat {bom.file}")

    def build(title="Change something"):
        commit = source.merge(title)
        run = source.run(commit, RUN | key.variables | syft.variables)
        platforms = [push(f"{repository}:{commit}-{platform}", architecture=platform) for platform in ("amd64", "arm64")]
        digest = run.prints("publish", repository, *platforms)
        return run, commit, digest

    build.syft = syft
    return build


@pytest.fixture
def tested(build, repository):
    """`tested()` builds, attests, deploys to staging, and records the tests."""

    def tested():
        run, commit, digest = build()
        image = f"{repository}@{digest}"
        run.prints("attest", image)
        deployment = run.prints("deploy", "staging", commit, digest)
        run.prints("record", "staging", image, deployment)
        return run, commit, digest

    return tested


def test_in_a_private_registry_only_those_verify_who_may_pull(tested, repository, registry, tmp_path):
    """A signature is read from the registry, too. tests/repository/docs/test_lists.py lists the documents that state it."""
    run, commit, digest = tested()
    with PrivateRegistry(registry) as private:
        named = repository.replace(registry.host, private.host)
        assert "401" in run.error("verify", "--tested", named, commit)
        (tmp_path / "config.json").write_text(json.dumps({"auths": {private.host: {"auth": private.login}}}))
        assert run.prints("verify", "--tested", named, commit, DOCKER_CONFIG=str(tmp_path)) == digest


class PrivateRegistry:
    """What `registry` has, for those with a login only."""

    login = base64.b64encode(b"reader:password").decode()

    def __init__(self, registry):
        private = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if self.headers["authorization"] != f"Basic {private.login}":
                    self.respond(401, {"www-authenticate": 'Basic realm="registry"'}, b"")
                    return
                request = urllib.request.Request(f"http://{registry.host}{self.path}", headers={"accept": self.headers["accept"] or "*/*"}, method=self.command)
                try:
                    with urllib.request.urlopen(request) as response:
                        self.respond(response.status, response.headers, response.read())
                except urllib.error.HTTPError as error:
                    self.respond(error.code, error.headers, error.read())

            do_HEAD = do_GET

            def respond(self, status, headers, body):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class TestPublish:
    def test_the_index_consists_of_what_the_builds_reported(self, source, key, repository, tmp_path):
        commit = source.merge("Change something")
        run = source.run(commit, RUN | key.variables)
        layer = tmp_path / "layer"
        layer.write_bytes(bytes(1024))
        digests = [push(f"{repository}:{commit}-amd64"), push(f"{repository}:{commit}-arm64", layer)]
        digest = run.prints("publish", repository, *digests)
        index = json.loads(tool("crane", "--insecure", "manifest", f"{repository}:{commit}"))
        assert tool("crane", "--insecure", "digest", f"{repository}:{commit}") == digest
        assert sorted(manifest["digest"] for manifest in index["manifests"]) == sorted(digests)
        assert index["mediaType"] == "application/vnd.oci.image.index.v1+json"
        assert [manifest["platform"] for manifest in index["manifests"]] == [{"architecture": "amd64", "os": "linux"}] * 2

    def test_again_changes_nothing(self, build, repository):
        """Also before it was attested: a run that failed in between can be repeated."""
        run, commit, digest = build()
        platforms = [manifest["digest"] for manifest in json.loads(tool("crane", "--insecure", "manifest", f"{repository}:{commit}"))["manifests"]]
        done = run("publish", repository, *reversed(platforms))
        assert (done.returncode, done.stdout.strip()) == (0, digest), done
        assert "there already" in done.stderr

    def test_a_foreign_image_under_the_tag_is_rejected(self, source, key, foreign, repository, tmp_path):
        """An attacker who may push to the registry must not choose what the pipeline signs."""
        commit = source.merge("Change something")
        run = source.run(commit, RUN | key.variables)
        layer = tmp_path / "layer"
        layer.write_bytes(bytes(2048))
        theirs = push(f"{repository}:{commit}", layer)
        own = push(f"{repository}:{commit}-amd64")
        assert "is another image" in run.error("publish", repository, own)
        # Nor if they have signed it themselves.
        tool("cosign", "sign", "--yes", "--key", foreign.private, "--use-signing-config=false", "--tlog-upload=false", f"{repository}@{theirs}", **foreign.variables)
        assert "is another image" in run.error("publish", repository, own)
        assert tool("crane", "--insecure", "digest", f"{repository}:{commit}") == theirs

    def test_another_build_of_the_same_commit_is_used_if_it_verifies(self, build, repository, tmp_path):
        run, commit, digest = build()
        run.prints("attest", f"{repository}@{digest}")
        layer = tmp_path / "layer"
        layer.write_bytes(bytes(512))
        assert run.prints("publish", repository, push(f"{repository}:{commit}-again", layer)) == digest

    def test_uncommitted_changes_and_unknown_digests(self, build, repository):
        run, commit, digest = build()
        assert "has no image" in run.error("publish", repository, f"sha256:{'a' * 64}")
        (run.directory / "Dockerfile").write_text("FROM scratch\n")
        assert "in no commit" in run.error("publish", repository, digest)

    @pytest.mark.parametrize("name", ["shoutback", "127.0.0.1:5000/shoutback:latest", "https://127.0.0.1/shoutback"])
    def test_invalid_repositories_are_wrong_usage(self, source, name):
        source.run(source.merge("Change something"), RUN).error("publish", name, f"sha256:{'a' * 64}", code=2)


class TestVerify:
    def test_what_the_pipeline_built_is_accepted(self, build, repository):
        run, commit, digest = build()
        run.prints("attest", f"{repository}@{digest}")
        assert run.prints("verify", repository, commit) == digest

    def test_again_attests_nothing(self, build, repository):
        run, commit, digest = build()
        run.prints("attest", f"{repository}@{digest}")
        count = len(build.syft.calls())
        run.prints("attest", f"{repository}@{digest}")
        assert len(build.syft.calls()) == count == 2

    def test_unsigned(self, build, repository):
        run, commit, digest = build()
        assert "cosign verify" in run.error("verify", repository, commit)

    def test_not_built(self, build, repository):
        run, *_ = build()
        assert "has not built that commit" in run.error("verify", repository, "a" * 40)

    def test_signed_by_another_key(self, build, repository, foreign):
        run, commit, digest = build()
        run.prints("attest", f"{repository}@{digest}", **foreign.variables)
        assert "cosign verify" in run.error("verify", repository, commit)

    @pytest.mark.parametrize("fault", ["commit", "repository", "workflow", "ref", "builder", "nothing"])
    def test_another_provenance(self, build, repository, key, tmp_path, fault):
        run, commit, digest = build()
        image, url = f"{repository}@{digest}", f"https://github.com/{REPOSITORY}"
        stated = {"commit": commit, "repository": url, "workflow": ".github/workflows/main.yml", "ref": "refs/heads/main", "builder": f"{url}/.github/workflows/main.yml@refs/heads/main"}
        stated |= {} if fault == "nothing" else {fault: {"commit": "b" * 40, "repository": "https://github.com/example/fork"}.get(fault, "other")}
        predicate = {
            "buildDefinition": {
                "buildType": "https://actions.github.io/buildtypes/workflow/v1",
                "externalParameters": {"workflow": {"ref": stated["ref"], "repository": stated["repository"], "path": stated["workflow"]}},
                "resolvedDependencies": [{"uri": f"git+{stated['repository']}@{stated['ref']}", "digest": {"gitCommit": stated["commit"]}}],
            },
            "runDetails": {"builder": {"id": stated["builder"]}},
        }
        tool("cosign", "sign", "--yes", "--key", key.private, "--use-signing-config=false", "--tlog-upload=false", image, **key.variables)
        key.attest(image, "slsaprovenance1", predicate, tmp_path)
        key.attest(image, "spdxjson", SPDX, tmp_path)
        if fault == "nothing":
            assert run.prints("verify", repository, commit) == digest
        else:
            assert "was not built by" in run.error("verify", repository, commit)

    def test_the_tag_of_one_commit_on_the_image_of_another(self, build, repository):
        run, first, digest = build()
        run.prints("attest", f"{repository}@{digest}")
        second = "c" * 40
        tool("crane", "--insecure", "tag", f"{repository}@{digest}", second)
        assert "was not built by" in run.error("verify", repository, second)

    @pytest.mark.parametrize("document", [{"packages": []}, {"packages": [{"externalRefs": [{"referenceLocator": "pkg:deb/debian/libc6@2.36"}]}]}])
    def test_an_sbom_without_crates(self, build, repository, bom, key, tmp_path, document):
        run, commit, digest = build()
        bom(document)
        image = f"{repository}@{digest}"
        assert "lists no crate" in run.error("attest", image)
        # Nothing was signed.
        assert "cosign verify" in run.error("verify", repository, commit)

    def test_a_key_is_no_identity(self, build, repository, recorder):
        """In a workflow there is none: cosign requires exactly main.yml, on main, of this repository, in a run for this commit."""
        run, commit, digest = build()
        cosign = recorder("cosign", "exit 1")
        run.error("verify", repository, commit, SIGNING_KEY="", VERIFICATION_KEY="", **cosign.variables)
        url = f"https://github.com/{REPOSITORY}"
        assert cosign.calls() == [
            f"verify --certificate-identity={url}/.github/workflows/main.yml@refs/heads/main --certificate-oidc-issuer=https://token.actions.githubusercontent.com"
            f" --certificate-github-workflow-repository={REPOSITORY} --certificate-github-workflow-ref=refs/heads/main --certificate-github-workflow-sha={commit}"
            f" {repository}@{digest}"
        ]


class TestTested:
    def test_what_staging_has_tested_is_accepted(self, tested, repository):
        run, commit, digest = tested()
        assert run.prints("verify", "--tested", repository, commit) == digest

    def test_deployed_but_not_tested(self, build, repository):
        """Its tests failed, or never ran: a run that was superseded is green, too."""
        run, commit, digest = build()
        run.prints("attest", f"{repository}@{digest}")
        run.prints("deploy", "staging", commit, digest)
        run.prints("verify", repository, commit)
        assert "verify-attestation" in run.error("verify", "--tested", repository, commit)

    def test_a_rerun_of_a_superseded_build_is_no_evidence(self, build, repository):
        """B's tests failed, C was deployed, and B's failed jobs are run again."""
        run, commit, digest = build("B")
        image = f"{repository}@{digest}"
        run.prints("attest", image)
        deployment = run.prints("deploy", "staging", commit, digest)
        later, *newer = build("C")
        later.prints("deploy", "staging", *newer)
        # The job `deploy` is not run again, and has had its output already; or it is, and has none.
        assert run.prints("deploy", "staging", commit, digest) == ""
        assert "something else meanwhile" in run.error("record", "staging", image, deployment)
        assert "verify-attestation" in run.error("verify", "--tested", repository, commit)

    def test_a_build_that_was_taken_back_meanwhile(self, build, repository):
        first, *older = build("A")
        first.prints("deploy", "staging", *older)
        run, commit, digest = build("B")
        deployment = run.prints("deploy", "staging", commit, digest)
        run.prints("rollback", "staging")
        assert "something else meanwhile" in run.error("record", "staging", f"{repository}@{digest}", deployment)

    def test_another_deployment_or_image(self, build, repository, source):
        run, commit, digest = build("A")
        deployment = run.prints("deploy", "staging", commit, digest)
        later, other, another = build("B")
        later.prints("deploy", "staging", other, another)
        latest = git(source.bare, "rev-parse", "deploy/staging")
        # B's deployment for A, A's for B, one of production, and a commit that deployed nothing.
        assert "not the deployment" in run.error("record", "staging", f"{repository}@{digest}", latest)
        assert "not the deployment" in later.error("record", "staging", f"{repository}@{another}", deployment)
        assert "not the deployment" in later.error("record", "production", f"{repository}@{another}", latest)
        assert "not the deployment" in later.error("record", "staging", f"{repository}@{another}", other)
        assert "not the deployment" in later.error("record", "staging", f"{repository}@sha256:{'a' * 64}", latest)

    def test_a_record_by_another_key(self, build, repository, foreign):
        run, commit, digest = build()
        image = f"{repository}@{digest}"
        run.prints("attest", image)
        deployment = run.prints("deploy", "staging", commit, digest)
        run.prints("record", "staging", image, deployment, **foreign.variables)
        assert "verify-attestation" in run.error("verify", "--tested", repository, commit)

    def test_the_record_of_another_digest(self, tested, build, repository, key, tmp_path):
        """An attestation that was copied beside another image in the registry."""
        _, commit, digest = tested()
        predicate = {
            "result": "PASSED",
            "configuration": [
                {"uri": f"git+https://github.com/{REPOSITORY}@refs/heads/main", "digest": {"gitCommit": commit}},
                {"uri": f"git+https://github.com/{REPOSITORY}@refs/heads/deploy/staging", "digest": {"gitCommit": "d" * 40}},
            ],
        }
        run, other, another = build("Other")
        image = f"{repository}@{another}"
        run.prints("attest", image)
        key.attest(image, "https://in-toto.io/attestation/test-result/v0.1", predicate, tmp_path)
        assert "nothing records" in run.error("verify", "--tested", repository, other)
        # The same with a result that is no success, and of another environment.
        for wrong in (
            {"result": "FAILED"},
            {"configuration": [predicate["configuration"][0] | {"digest": {"gitCommit": other}}]},
        ):
            key.attest(image, "https://in-toto.io/attestation/test-result/v0.1", predicate | {"configuration": [{**stated, "digest": {"gitCommit": other}} for stated in predicate["configuration"]]} | wrong, tmp_path)
            assert "nothing records" in run.error("verify", "--tested", repository, other)

    def test_the_record_says_what_was_tested(self, tested, repository, key):
        run, commit, digest = tested()
        options = ["--key", key.variables["VERIFICATION_KEY"], "--insecure-ignore-tlog=true", "--type", "https://in-toto.io/attestation/test-result/v0.1"]
        [line] = tool("cosign", "verify-attestation", *options, f"{repository}@{digest}", **key.variables).splitlines()
        statement = json.loads(base64.b64decode(json.loads(line)["payload"]))
        assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
        assert [subject["digest"] for subject in statement["subject"]] == [{"sha256": digest.removeprefix("sha256:")}]
        assert statement["predicate"]["url"] == f"https://github.com/{REPOSITORY}/actions/runs/7/attempts/1"
        assert statement["predicate"]["configuration"][0]["digest"] == {"gitCommit": commit}


class TestInspect:
    """Every morning: what runs, and by its own lock file."""

    @pytest.fixture
    def grype(self, recorder, tmp_path):
        """A fake grype, which finds something in a target that has a file named after it."""
        return recorder("grype", f'printf "%s\\n" "$(cat "${{1#dir:}}/Cargo.lock" 2>/dev/null)" >>{tmp_path}/locks', f"[[ ! -e {tmp_path}/vulnerable ]]")

    def test_nothing_runs_yet(self, build, repository, grype):
        run, *_ = build()
        run.prints("inspect", repository, **grype.variables)
        assert grype.calls() == []

    def test_what_runs_is_inspected_by_its_own_lock_file(self, tested, source, repository, grype, tmp_path):
        run, commit, digest = tested()
        run.prints("deploy", "production", commit, digest)
        # main has moved on, to a lock file without the vulnerable crate.
        source.merge("Update crates", {"Cargo.lock": lambda _: "new\n"})
        git(run.directory, "fetch", "--quiet", "origin")
        run.prints("inspect", repository, **grype.variables)
        assert sum(call.startswith(f"registry:{repository}@{digest} ") for call in grype.calls()) == 2
        assert "new" not in (tmp_path / "locks").read_text()
        (tmp_path / "vulnerable").touch()
        assert "known vulnerability" in run.error("inspect", repository, **grype.variables)

    def test_production_runs_what_was_not_tested(self, build, repository, grype):
        run, commit, digest = build()
        run.prints("attest", f"{repository}@{digest}")
        run.prints("deploy", "staging", commit, digest)
        run.prints("inspect", repository, **grype.variables)
        run.prints("deploy", "production", commit, digest)
        assert "production: cosign verify-attestation" in run.error("inspect", repository, **grype.variables)

    @pytest.mark.parametrize(("file", "problem"), [("service/production/image", "production: "), ("platform/production/commit", "production: the platform's ")])
    def test_production_runs_what_is_not_on_main(self, tested, source, repository, grype, file, problem):
        run, commit, digest = tested()
        run.prints("deploy", "--platform", "staging", commit)
        run.prints("deploy", "--platform", "production", commit)
        run.prints("deploy", "production", commit, digest)
        run.prints("inspect", repository, **grype.variables)
        git(source.directory, "clone", "--quiet", "--branch=deploy/production", source.bare, "meddle")
        file = source.directory / f"meddle/gitops/{file}.yaml"
        file.write_text(file.read_text().replace(commit, "e" * 40))
        git(source.directory / "meddle", "commit", "--quiet", "--all", "--message", "Meddle")
        git(source.directory / "meddle", "push", "--quiet")
        assert f"error: {problem}{'e' * 40} is no commit of main" in run.error("inspect", repository, **grype.variables)
