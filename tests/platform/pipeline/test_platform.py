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
    source = Source(tmp_path / "source", only=("scripts/release", "scripts/github", "helm", "observability", "docs/configuration.md", "gitops"))
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
    assert "staging has never had it" in source.run(commit).error("deploy", "--platform", "production", commit)


class TestEvidence:
    """What platform.yml asks before it deploys to production."""

    @pytest.fixture
    def staged(self, source, github):
        """`staged(title)` merges an add-on's change and deploys it to staging; returns the run, the commit and the deployment."""

        def deploy(title="Change an add-on"):
            commit = source.merge(title)
            run = source.run(commit, github.variables)
            return run, commit, run.prints("deploy", "--platform", "staging", commit)

        return deploy

    def test_staging_runs_it(self, staged, github):
        run, commit, deployment = staged()
        assert "has not reported" in run.error("platform-tested", "production", commit)
        # The service's, production's, and a failure do not count.
        github.report(deployment, "argocd/staging", "success", "Healthy")
        github.report(deployment, "argocd/production/platform", "success", "Healthy")
        github.report(deployment, "argocd/staging/platform", "failure", "Degraded")
        assert "failure, Degraded" in run.error("platform-tested", "production", commit)
        github.report(deployment, "argocd/staging/platform", "success", "Synced")
        assert run.prints("platform-tested", "production", commit) == ""

    def test_only_argo_cds_app_reports(self, staged, github):
        run, commit, deployment = staged()
        github.report(deployment, "argocd/staging/platform", "success", "Synced", "github-actions[bot]")
        assert "has not reported" in run.error("platform-tested", "production", commit)
        github.report(deployment, "argocd/staging/platform", "success", "Synced")
        assert "ARGO_CD_APP_LOGIN" in run.error("platform-tested", "production", commit, code=2, ARGO_CD_APP_LOGIN="")

    def test_staging_ran_it_before_another_one(self, staged, github):
        first, commit, deployment = staged()
        github.report(deployment, "argocd/staging/platform", "success", "Synced")
        _, newer, later = staged()
        github.report(later, "argocd/staging/platform", "failure", "Degraded")
        first.prints("platform-tested", "production", commit)
        assert "failure, Degraded" in first.error("platform-tested", "production", newer)

    def test_argo_cd_reported_for_a_later_commit(self, source, staged, github, digest):
        run, commit, deployment = staged()
        later = run.prints("deploy", "staging", commit, digest())
        github.report(later, "argocd/staging/platform", "success", "Synced")
        run.prints("platform-tested", "production", commit)

    def test_it_was_taken_back(self, staged, github):
        staged()
        run, commit, deployment = staged()
        github.report(deployment, "argocd/staging/platform", "success", "Synced")
        run.prints("rollback", "--platform", "staging")
        assert "taken back" in run.error("platform-tested", "production", commit)
        assert "taken back" in run.error("deploy", "--platform", "production", commit)

    def test_staging_takes_any(self, source, github):
        commit = source.merge("Change an add-on")
        source.run(commit, github.variables).prints("platform-tested", "staging", commit)
        assert github.requested == []


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


REVIEWED = [
    "AUTH_MODE=disabled",
    "AUTH_REQUIRED_SCOPES=",
    "COGNITO_USER_POOL_IDS=eu-central-1_Another0",
    "COGNITO_ENDPOINT=https://cognito.example.com",
    "COGNITO_JWKS_ENDPOINT=https://keys.example.com",
    "COGNITO_CLIENT_IDS=1example23456789,3another23456789",
    "SHOUTCLOUD_URL=http://shoutcloud.example.com/V1/SHOUT",
    "VALKEY_URL=rediss://valkey.example.com",
    "CACHE_SHARED=on",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://traces.example.com",
    "DOCS_COGNITO_DOMAIN=login.example.com",
]


@pytest.mark.parametrize("wanted", REVIEWED)
def test_one_person_changes_neither_authentication_nor_destinations(source, service, wanted):
    run, release = service()
    assert "by a release only" in run.error("override", "production", "set", wanted, "--reason", "Incident 42")
    assert git(source.bare, "rev-parse", "deploy/production") == release


def test_one_person_may_take_out_a_client(source, service):
    run, _ = service()
    override(run, "set", "COGNITO_CLIENT_IDS=2example23456789")
    assert 'COGNITO_CLIENT_IDS: "2example23456789"' in values(source)


@pytest.mark.parametrize("wrong", ["SHOUTCLOUD_FALBACK=local", "REQUEST_TIMEOUT=soon", 'SHOUTCLOUD_FALLBACK=a"b'])
def test_a_value_that_the_chart_rejects_is_not_committed(source, service, wrong):
    run, release = service()
    assert "the chart rejects this" in run.error("override", "production", "set", wrong, "--reason", "Incident 42")
    assert git(source.bare, "rev-parse", "deploy/production") == release


@pytest.mark.parametrize(("arguments", "message"), [(("set", "NAME"), "not NAME=VALUE"), (("remove", "NAME=x"), "not NAME"), (("set", "name=x"), "not NAME=VALUE")])
def test_wrong_usage(source, service, arguments, message):
    run, _ = service()
    assert message in run.error("override", "production", *arguments, "--reason", "x", code=2)
    assert "--reason" in run.error("override", "production", "set", "NAME=x", code=2)
