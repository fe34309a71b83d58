"""Deployments of the platform, which are apart from those of the service, and overrides of single values."""

import re

import pytest

from harness.git import git
from source import Source

VERSIONS = "gitops/platform/values.yaml"
VALUES = "gitops/service/production/values.yaml"
FILLED = {"CLIENT_IDS": "1example23456789,2example23456789", "PUBLIC_CLIENT_ID": "2example23456789", "USER_POOL_ID": "eu-central-1_AbCdEfGhI"}


@pytest.fixture
def source(tmp_path):
    """Returns a repository with the chart, filled in for production."""
    (tmp_path / "source").mkdir()
    source = Source(tmp_path / "source", only=("scripts/release", "helm", "observability", "docs/configuration.md", "gitops"))
    fill = lambda text: re.sub(r"REPLACE_WITH_([A-Z_]*[A-Z])", lambda name: FILLED.get(name[1], "example.com"), text)  # noqa: E731
    source.merge("Fill in", {VALUES: fill})
    return source


@pytest.fixture
def platform(source):
    """`platform(version)` merges a version of cert-manager, deploys the platform to production, and returns the deployment."""

    def deploy(version):
        commit = source.merge(f"Use cert-manager {version}", {VERSIONS: lambda text: re.sub(r"(cert-manager: \{ version: )\S+,", rf"\g<1>{version},", text)})
        run = source.run(commit)
        run.prints("deploy", "--platform", "staging", commit)
        return run, run.prints("deploy", "--platform", "production", commit)

    return deploy


@pytest.fixture
def service(source, digest):
    """`service()` deploys a build of main to production."""

    def deploy():
        commit, run_digest = source.merge("Change the service"), digest()
        run = source.run(commit)
        run.prints("deploy", "staging", commit, run_digest)
        return run, run.prints("deploy", "production", commit, run_digest)

    return deploy


def state(source):
    """Returns what production runs: the platform's commit and the service's build."""
    commit = source.file("deploy/production", "gitops/platform/production/commit.yaml")
    return re.search(r'"([0-9a-f]{40})"', commit)[1], source.image("production")


def test_a_release_and_its_rollback_leave_the_platform_alone(source, platform, service):
    platform("v1.0.0")
    service()
    run, _ = service()
    before = state(source)
    platform("v1.1.0")
    run.prints("rollback", "production")
    after = state(source)
    assert after[0] != before[0] and after[1] != before[1]
    assert git(source.bare, "log", "-1", "--format=", "--name-only", "deploy/production") == VALUES.replace("values", "image")


def test_a_deployment_of_the_platform_leaves_the_service_alone(source, platform, service):
    platform("v1.0.0")
    service()
    build = source.image("production")
    run, _ = platform("v1.0.0")
    run.prints("rollback", "--platform", "production")
    assert source.image("production") == build


def test_a_rollback_of_the_platform_downgrades_nothing(source, platform):
    platform("v1.9.0")
    run, deployment = platform("v1.10.0")
    file = "gitops/platform/production/commit.yaml"
    before = source.file("deploy/production", file)
    for which in ([], ["--undo", deployment]):
        assert "cert-manager from v1.10.0 to v1.9.0" in run.error("rollback", "--platform", "production", *which)
    assert source.file("deploy/production", file) == before
    run.prints("rollback", "--platform", "production", "--allow-downgrade")
    assert source.file("deploy/production", file) != before


def test_production_takes_only_a_platform_that_staging_had(source):
    commit = source.merge("Change an add-on")
    assert "staging has never had" in source.run(commit).error("deploy", "--platform", "production", commit)


def test_the_platform_has_no_digest(source, digest):
    commit = source.merge("Change an add-on")
    run = source.run(commit)
    assert "a digest belongs to the service" in run.error("deploy", "--platform", "staging", commit, digest(), code=2)
    assert "a digest belongs to the service" in run.error("deploy", "staging", commit, code=2)


def override(run, *arguments, **variables):
    return run.prints("override", "production", *arguments, *([] if arguments == ("list",) else ["--reason", "Incident 42"]), **variables)


def values(source):
    return source.file("deploy/production", "gitops/service/production/overrides.yaml")


def test_an_override_is_committed_with_its_reason_and_its_actor(source, service):
    run, _ = service()
    commit = override(run, "set", "SHOUTCLOUD_FALLBACK=local", GITHUB_ACTOR="octocat")
    message = git(source.bare, "log", "-1", "--format=%B", commit)
    assert message.startswith("Override SHOUTCLOUD_FALLBACK in production") and "Incident 42" in message and "Actor: octocat" in message
    assert 'SHOUTCLOUD_FALLBACK: "local"' in values(source)
    assert override(run, "list") == "SHOUTCLOUD_FALLBACK=local"


def test_releases_and_rollbacks_keep_an_override(source, service):
    run, _ = service()
    override(run, "set", "SHOUTCLOUD_FALLBACK=local")
    run, _ = service()
    run.prints("rollback", "production")
    assert 'SHOUTCLOUD_FALLBACK: "local"' in values(source)


def test_an_override_is_taken_back(source, service):
    run, _ = service()
    override(run, "set", "SHOUTCLOUD_FALLBACK=local")
    override(run, "set", "RATE_LIMIT_PER_CLIENT=50/s")
    override(run, "remove", "SHOUTCLOUD_FALLBACK")
    assert override(run, "list") == "RATE_LIMIT_PER_CLIENT=50/s"
    override(run, "remove", "RATE_LIMIT_PER_CLIENT")
    assert override(run, "list") == ""
    assert "config:" not in values(source)


def test_the_same_override_again_commits_nothing(source, service):
    run, _ = service()
    commit = override(run, "set", "SHOUTCLOUD_FALLBACK=local")
    assert override(run, "set", "SHOUTCLOUD_FALLBACK=local") == commit == git(source.bare, "rev-parse", "deploy/production")


@pytest.mark.parametrize("wrong", ["SHOUTCLOUD_FALBACK=local", "REQUEST_TIMEOUT=soon", 'COGNITO_CLIENT_IDS=a"b'])
def test_a_value_that_the_chart_rejects_is_not_committed(source, service, wrong):
    run, release = service()
    assert "the chart rejects this" in run.error("override", "production", "set", wrong, "--reason", "Incident 42")
    assert git(source.bare, "rev-parse", "deploy/production") == release


@pytest.mark.parametrize(("arguments", "message"), [(("set", "NAME"), "not NAME=VALUE"), (("remove", "NAME=x"), "not NAME"), (("set", "name=x"), "not NAME=VALUE")])
def test_wrong_usage(source, service, arguments, message):
    run, _ = service()
    assert message in run.error("override", "production", *arguments, "--reason", "x", code=2)
    assert "--reason" in run.error("override", "production", "set", "NAME=x", code=2)
