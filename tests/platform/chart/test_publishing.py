"""scripts/release/chart: the chart in a real registry, and installed from it."""

import re
import shutil
import subprocess
import tempfile

import pytest
import yaml
from rendering import MINIMAL, TOP

from harness.git import git
from harness.process import ENVIRONMENT as PROCESS, Process, responds_ok

REPOSITORY = "example/shoutback"
# Without a home helm keeps what it pulls below the working directory.
CACHE = tempfile.TemporaryDirectory()
ENVIRONMENT = PROCESS | {"HELM_CACHE_HOME": CACHE.name}
COPIED = ["helm", "observability", "docs/configuration.md", "scripts/release"]


@pytest.fixture
def registry(tmp_path):
    with Process(["crane", "registry", "serve", "--address", "127.0.0.1:0"], tmp_path / "registry.log", {}) as process:
        port = int(process.until("it listens", lambda: re.search(r"serving on port (\d+)", process.output()))[1])
        process.until("it responds", lambda: responds_ok(f"http://127.0.0.1:{port}/v2/"))
        yield f"127.0.0.1:{port}/charts"


@pytest.fixture
def checkout(tmp_path):
    """A repository with one commit."""
    root = tmp_path / "checkout"
    for name in COPIED:
        source, target = TOP / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target, symlinks=True) if source.is_dir() else shutil.copy(source, target)
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message=All"]):
        git(root, *command)
    return root


def publish(root, registry, **variables):
    command = [root / "scripts/release/chart", registry]
    variables = {"GITHUB_REPOSITORY": REPOSITORY} | variables
    return subprocess.run(command, env=ENVIRONMENT | variables, capture_output=True, text=True)


def published(root, registry, **variables):
    done = publish(root, registry, **variables)
    assert done.returncode == 0, done.stderr
    return re.fullmatch(r"oci://(\S+):(\S+)@(sha256:[0-9a-f]{64})\n", done.stdout).groups()


def helm(*arguments):
    done = subprocess.run(["helm", *arguments], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_commit_is_a_pre_release_that_is_installed_like_the_checkout(checkout, registry, tmp_path):
    name, version, digest = published(checkout, registry)
    assert name == f"{registry}/shoutback"
    commit = git(checkout, "rev-parse", "HEAD")
    assert re.fullmatch(rf"0\.1\.0-\d{{14}}\.g{commit[:12]}", version)
    assert subprocess.run(["crane", "--insecure", "digest", f"{name}:{version}"], capture_output=True, text=True).stdout.strip() == digest
    described = yaml.safe_load(helm("show", "chart", f"oci://{name}", "--version", version, "--plain-http"))
    assert (described["version"], described["appVersion"]) == (version, commit)
    assert described["home"] == f"https://github.com/{REPOSITORY}" == described["sources"][0]
    assert "REPLACE_WITH" not in str(described)
    helm("pull", f"oci://{name}", "--version", version, "--plain-http", "--destination", str(tmp_path))
    [archive] = tmp_path.glob("*.tgz")
    assert MINIMAL.but(chart=archive).text.replace(version, "0.1.0") == MINIMAL.text


def test_what_is_there_is_not_pushed_again(checkout, registry):
    first = published(checkout, registry)
    again = publish(checkout, registry)
    assert "is there already" in again.stderr and again.stdout.strip().endswith(first[2])


def test_a_tag_is_a_release(checkout, registry):
    git(checkout, "tag", "v0.1.0")
    assert published(checkout, registry)[1] == "0.1.0"


def test_a_later_commit_has_a_later_version(checkout, registry):
    first = published(checkout, registry)
    git(checkout, "commit", "--allow-empty", "--quiet", "--message=Next", "--date=2099-01-01T00:00:00Z", GIT_COMMITTER_DATE="2099-01-01T00:00:00Z")
    later = published(checkout, registry)
    newest = yaml.safe_load(helm("show", "chart", f"oci://{first[0]}", "--version", ">0.0.0-0", "--plain-http"))
    assert newest["version"] == later[1] != first[1]


@pytest.mark.parametrize(("change", "variables", "message"), [
    (True, {}, "has changes in no commit"),
    (False, {"GITHUB_REPOSITORY": ""}, "GITHUB_REPOSITORY is not set"),
])  # fmt: skip
def test_it_rejects_what_is_not_reproducible(checkout, change, variables, message):
    if change:
        (checkout / "helm/shoutback/values.yaml").write_text("")
    done = publish(checkout, "127.0.0.1:1/charts", **variables)
    assert done.returncode == 1 and message in done.stderr
