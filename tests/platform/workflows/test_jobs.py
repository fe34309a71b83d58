"""The jobs of the workflows are executed: act.py says by what, and what stands in for GitHub."""

import contextlib
import re
import tomllib

import pytest
from act import ARGO_CD, Runner
from workflows import TOP

from harness.registry import Registry


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    with Registry(tmp_path_factory.mktemp("registry") / "log") as registry, contextlib.closing(Runner(registry)) as runner:
        yield runner


@pytest.fixture(autouse=True)
def fresh(runner):
    runner.github.issues.clear()
    runner.github.releases.clear()
    for name in ("tested", "tests-of", "tokens", "suites"):
        runner.notes(name)


def staged(runner, title):
    """Merges a commit, and returns it once main.yml has built, deployed, tested and recorded it."""
    commit = runner.merge(title)
    done = runner.workflow("main.yml", "push")
    assert done.succeeded, done.log
    return commit


def promote(runner, commit):
    return runner.workflow("promote.yml", "workflow_dispatch", commit=commit)


def test_a_merge_reaches_staging_and_then_production(runner):
    commit = staged(runner, "Say hello")
    assert runner.image("staging") == commit
    assert runner.notes("tested") == ["staging "]
    assert runner.github.open_issues() == []

    done = promote(runner, commit)
    assert done.succeeded, done.log
    assert runner.image("production") == commit
    assert runner.notes("tested") == ["production --smoke"]
    [release] = runner.github.releases
    assert release["target_commitish"] == commit and f"→ {commit[:12]}" in release["body"]
    assert runner.github.open_issues() == []
    # Neither a token nor a key was in the environment of the tests.
    assert runner.notes("tokens") == []


def test_failed_tests_are_no_evidence(runner):
    commit = runner.merge("Break something")
    with runner.broken("broken-staging"):
        assert not runner.workflow("main.yml", "push").succeeded
    assert runner.image("staging") == commit

    before = runner.image("production")
    done = promote(runner, commit)
    assert not done.succeeded and "verify-attestation" in done.output
    assert runner.image("production") == before
    assert "A promotion to production failed" in runner.github.open_issues()


def test_a_superseded_build_is_green_and_no_evidence(runner):
    older = runner.merge("Older")
    newer = staged(runner, "Newer")
    runner.notes("tested")
    runner.git("-C", runner.work, "checkout", "--quiet", "-B", "main", older)
    try:
        done = runner.workflow("main.yml", "push")
    finally:
        runner.git("-C", runner.work, "checkout", "--quiet", "-B", "main", newer)
    assert done.succeeded and "superseded" in done.output, done.log
    assert runner.notes("tested") == []
    assert runner.image("staging") == newer
    assert not promote(runner, older).succeeded


def test_a_failed_build_is_reported(runner):
    before = runner.image("staging")
    runner.merge("Break the build")
    with runner.broken("broken-build"):
        assert not runner.workflow("main.yml", "push").succeeded
    assert runner.image("staging") == before
    assert runner.github.open_issues() == ["The release of main to staging failed"]
    staged(runner, "Fix the build")
    assert runner.github.open_issues() == []


def test_a_foreign_image_under_the_tag_is_not_signed(runner):
    before = runner.image("staging")
    commit = runner.merge("Lose the tag to a foreign image")
    runner.run("crane", "append", "--insecure", "--oci-empty-base", "--new_layer", "/dev/null", "--new_tag", f"{runner.repository}:{commit}", check=True)
    done = runner.workflow("main.yml", "push")
    assert not done.succeeded and "is another image" in done.output
    assert runner.image("staging") == before
    assert runner.notes("tested") == []


def test_a_failed_release_is_undone(runner):
    good = staged(runner, "Good")
    assert promote(runner, good).succeeded
    bad = staged(runner, "Bad in production alone")
    runner.github.releases.clear()
    for name in ("tested", "tests-of"):
        runner.notes(name)
    with runner.broken("broken-once", used=True):
        done = promote(runner, bad)
    assert not done.succeeded
    assert runner.image("production") == good
    # Each build was met by the tests of its own commit.
    assert runner.notes("tested") == ["production --smoke"] * 2
    assert runner.notes("tests-of") == [bad, good]
    assert runner.github.open_issues() == ["A promotion to production failed"]
    assert runner.github.releases == []


def test_a_release_that_does_not_come_up_is_undone(runner):
    good = runner.image("production")
    bad = staged(runner, "Does not start in production")
    runner.github.state["production"] = "failure"
    try:
        assert not promote(runner, bad).succeeded
    finally:
        runner.github.state["production"] = "success"
    assert runner.image("production") == good
    assert runner.notes("tested") == ["staging "]


def test_a_forged_report_is_no_rollout(runner):
    """A workflow of any branch with `statuses: write` sets the status that Argo CD would set."""
    good = staged(runner, "Starts in production")
    assert promote(runner, good).succeeded
    runner.notes("tested")
    forged = staged(runner, "Does not start in production, which a workflow hides")
    runner.github.creator = "github-actions[bot]"
    try:
        done = promote(runner, forged)
    finally:
        runner.github.creator = ARGO_CD
    assert not done.succeeded and "by github-actions[bot]" in done.output
    assert runner.image("production") == good
    assert runner.notes("tested") == ["staging "]


def test_a_healthy_release_stays_when_it_is_promoted_again(runner):
    """Its smoke test fails for a while, for instance because SHOUTCLOUD is unavailable."""
    good = staged(runner, "Healthy")
    assert promote(runner, good).succeeded
    deployment = runner.git("-C", runner.bare, "rev-parse", "deploy/production")
    with runner.broken("broken-once", used=True):
        assert not promote(runner, good).succeeded
    assert runner.git("-C", runner.bare, "rev-parse", "deploy/production") == deployment
    assert runner.github.open_issues() == ["A promotion to production failed"]
    # A later success closes the report.
    assert promote(runner, good).succeeded
    assert runner.github.open_issues() == []


def test_a_vulnerable_image_is_not_promoted(runner):
    commit = staged(runner, "Vulnerable")
    before = runner.image("production")
    with runner.broken("vulnerable"):
        done = promote(runner, commit)
    assert not done.succeeded and "CVE-2026-0001" in done.output
    assert runner.image("production") == before


def test_without_reviewers_nothing_is_deployed(runner):
    commit = staged(runner, "Unreviewed")
    before, reviewers = runner.image("production"), runner.github.reviewers
    runner.github.reviewers = []
    try:
        done = promote(runner, commit)
    finally:
        runner.github.reviewers = reviewers
    assert not done.succeeded and "no reviewer has to approve" in done.output
    assert runner.image("production") == before


def test_rollback_goes_back_and_is_announced(runner):
    commits = [staged(runner, title) for title in ("One", "Two", "Three")]
    for commit in commits:
        assert promote(runner, commit).succeeded
    runner.notes("tested")
    done = runner.workflow("rollback.yml", "workflow_dispatch", environment="production", part="service", build="")
    assert done.succeeded, done.log
    assert runner.image("production") == commits[1]
    assert runner.notes("tested") == ["production --smoke"]
    # Those of the build, because newer ones may test newer features.
    assert runner.notes("tests-of")[-1] == commits[1]
    assert runner.github.open_issues() == ["production was rolled back"]
    assert commits[1] in runner.github.issues[-1]["body"]
    # By its name, and never to what was taken back.
    assert runner.workflow("rollback.yml", "workflow_dispatch", environment="production", part="service", build=commits[0][:12]).succeeded
    assert runner.image("production") == commits[0]
    done = runner.workflow("rollback.yml", "workflow_dispatch", environment="production", part="service", build=commits[2])
    assert not done.succeeded and re.search("is not one of the builds|nothing to go back to", done.output), done.log
    assert runner.image("production") == commits[0]
    assert "A rollback failed" in runner.github.open_issues()


def test_a_rollback_to_a_build_that_fails_is_reported(runner):
    for title in ("Before", "After"):
        assert promote(runner, staged(runner, title)).succeeded
    with runner.broken("broken-once", used=True):
        done = runner.workflow("rollback.yml", "workflow_dispatch", environment="production", part="service", build="")
    assert not done.succeeded
    assert {"A rollback failed", "production was rolled back"} <= set(runner.github.open_issues())


def deploy_platform(runner, environment, commit):
    return runner.workflow("platform.yml", "workflow_dispatch", environment=environment, commit=commit)


def test_the_platform_is_deployed_apart_and_to_staging_first(runner):
    service = staged(runner, "Release beside the platform")
    commit = runner.merge("Change an add-on")
    done = deploy_platform(runner, "production", commit)
    assert not done.succeeded and "staging has never had" in done.output
    assert "A deployment of the platform failed" in runner.github.open_issues()
    # Nor what staging's Argo CD could not apply.
    runner.github.state["staging"] = "failure"
    try:
        assert not deploy_platform(runner, "staging", commit).succeeded
        done = deploy_platform(runner, "production", commit)
    finally:
        runner.github.state["staging"] = "success"
    assert not done.succeeded and "has not reported" in done.output
    assert runner.platform("production") != commit
    for environment in ("staging", "production"):
        done = deploy_platform(runner, environment, commit)
        assert done.succeeded, done.log
        assert runner.platform(environment) == commit
    assert runner.image("staging") == service
    assert runner.github.open_issues() == []


def test_the_platform_is_rolled_back_by_one_person(runner):
    service, commits = runner.image("production"), [runner.merge(title) for title in ("Change one", "Change two")]
    for commit in commits:
        for environment in ("staging", "production"):
            assert deploy_platform(runner, environment, commit).succeeded
    runner.notes("tested")
    done = runner.workflow("rollback.yml", "workflow_dispatch", environment="production", part="platform", build="")
    assert done.succeeded, done.log
    assert runner.platform("production") == commits[0] and runner.image("production") == service
    # Argo CD reports whether the add-ons are healthy; the tests are of the service.
    assert runner.notes("tested") == []
    assert runner.github.open_issues() == ["production was rolled back"] and commits[0] in runner.github.issues[-1]["body"]


def test_the_platform_of_production_needs_an_approval(runner):
    commit = runner.merge("Change another add-on")
    assert deploy_platform(runner, "staging", commit).succeeded
    before, reviewers = runner.platform("production"), runner.github.reviewers
    runner.github.reviewers = []
    try:
        done = deploy_platform(runner, "production", commit)
    finally:
        runner.github.reviewers = reviewers
    assert not done.succeeded and "no reviewer has to approve" in done.output
    assert runner.platform("production") == before


def override(runner, **inputs):
    return runner.workflow("override.yml", "workflow_dispatch", **{"environment": "staging", "set": "", "remove": "", "reason": "Incident 42"} | inputs)


def test_an_override_is_announced_until_it_is_removed(runner):
    commit = staged(runner, "Release to override")
    done = override(runner, set="SHOUTCLOUD_FALLBACK=local")
    assert done.succeeded, done.log
    overridden = r'SHOUTCLOUD_FALLBACK: "(\w+)"'
    assert runner.recorded("staging", "gitops/service/staging/overrides.yaml", overridden) == "local"
    assert runner.github.open_issues() == ["staging has overrides"]
    assert "SHOUTCLOUD_FALLBACK=local" in runner.github.issues[-1]["body"]
    # A value that the chart rejects, both, and neither.
    for inputs in ({"set": "SHOUTCLOUD_FALBACK=local"}, {"set": "SHOUTCLOUD_FALLBACK=off", "remove": "SHOUTCLOUD_FALLBACK"}, {}):
        assert not override(runner, **inputs).succeeded, inputs
    assert override(runner, remove="SHOUTCLOUD_FALLBACK").succeeded
    assert runner.recorded("staging", "gitops/service/staging/overrides.yaml", overridden) is None
    assert runner.github.issues[0]["state"] == "closed"
    assert runner.image("staging") == commit


PULL_REQUEST = {"pull_request": {"number": 7, "head": {"repo": {"full_name": "somebody/fork"}}}}


def check(runner, base):
    payload = {"pull_request": PULL_REQUEST["pull_request"] | {"base": {"sha": base}}, "ref": "refs/pull/7/merge"}
    return runner.workflow("checks.yml", "pull_request", payload)


def test_a_pull_request_runs_what_it_concerns(runner):
    base = runner.git("-C", runner.work, "rev-parse", "HEAD")
    changelog = runner.work / "CHANGELOG.md"
    changelog.write_text(changelog.read_text() + "\n")
    runner.own()
    runner.merge("Fix a word")
    done = check(runner, base)
    assert done.succeeded, done.log
    ran = " ".join(runner.notes("suites")).split()
    assert {"docs", "static", "prose"} <= set(ran) and not {"cluster", "gitops", "interop"} & set(ran)

    (runner.work / "src").mkdir(exist_ok=True)
    (runner.work / "src/new.rs").write_text("// new\n")
    runner.own()
    runner.merge("Change the service")
    with runner.broken("broken-licences"):
        done = check(runner, base)
    lines = runner.notes("suites")
    ran = " ".join(lines).split()
    assert {"cluster", "interop", "image", "pipeline"} <= set(ran)
    # As root only those that need it, because git rejects the runner's checkout as root.
    suites = tomllib.loads((TOP / "tests/suites.toml").read_text())
    as_root = {name for line in lines if line.startswith("true ") for name in line.split()[1:]}
    assert as_root == {name for name, suite in suites.items() if "root" in suite.get("needs", [])}
    # One leg of the matrix failed, and the gate with it.
    assert not done.succeeded and re.search(r"platform +failure +<- required", done.output), done.log
