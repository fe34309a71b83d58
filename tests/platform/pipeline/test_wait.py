"""Waiting for Argo CD."""

import pytest

from harness.process import wait_until

SOON = {"WAIT_INTERVAL": "50ms", "WAIT_TIMEOUT": "30s"}


@pytest.fixture
def deployed(merged, github):
    """Returns a run and the commit of its deployment to staging."""
    run, *build = merged()
    run.variables = github.variables | SOON
    return run, run.prints("deploy", "staging", *build), build


def begin(run, *arguments):
    """Starts the program."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(1).submit(run, "wait", *arguments)


def test_it_succeeds_when_the_environment_runs_the_deployment(github, deployed):
    run, commit, _ = deployed
    waiting = begin(run, "staging", commit)
    wait_until("it sends a request", lambda: github.requested)
    github.report(commit, "argocd/staging", "pending", "Progressing")
    count = len(github.requested)
    wait_until("it retries", lambda: len(github.requested) > count + 1)
    assert not waiting.done()
    github.report(commit, "argocd/staging", "success", "Healthy")
    done = waiting.result(30)
    assert (done.returncode, done.stdout) == (0, ""), done
    assert "no status yet" in done.stderr and "pending, Progressing" in done.stderr


def test_it_fails_when_the_deployment_fails(github, deployed):
    run, commit, _ = deployed
    github.report(commit, "argocd/staging", "failure", "Degraded")
    output = run.error("wait", "staging", commit)
    assert "Degraded" in output and "Argo CD" in output


def test_the_newest_status_counts(github, deployed):
    run, commit, _ = deployed
    github.report(commit, "argocd/staging", "failure", "Degraded")
    github.report(commit, "argocd/staging", "success", "Healthy")
    run.prints("wait", "staging", commit)


@pytest.mark.parametrize("creator", ["github-actions[bot]", "octocat", "shoutback-argocd"])
def test_only_argo_cds_app_reports(github, deployed, creator):
    """Every workflow with `statuses: write` can set a status of that context, and so can each person with write access."""
    run, commit, _ = deployed
    github.report(commit, "argocd/staging", "success", "Healthy", creator)
    output = run.error("wait", "staging", commit, WAIT_TIMEOUT="200ms")
    assert "no status yet" in output and f"ignored: argocd/staging of {commit[:12]} by {creator}" in output
    # Nor does another one's status hide what Argo CD has reported.
    github.report(commit, "argocd/staging", "success", "Healthy")
    for _ in range(250):
        github.report(commit, "argocd/staging", "failure", "Degraded", creator)
    run.prints("wait", "staging", commit)
    github.report(commit, "argocd/staging", "failure", "Degraded")
    github.report(commit, "argocd/staging", "success", "Healthy", creator)
    assert "failure, Degraded" in run.error("wait", "staging", commit)


# Every workflow of every branch reports as github-actions[bot].
@pytest.mark.parametrize("login", ["", "shoutback-argocd", "Shoutback Argo CD", "github-actions[bot]"])
def test_without_the_apps_login_nothing_is_believed(github, deployed, login):
    run, commit, _ = deployed
    github.report(commit, "argocd/staging", "success", "Healthy", login or "octocat")
    output = run.error("wait", "staging", commit, code=2, ARGO_CD_APP_LOGIN=login)
    assert "ARGO_CD_APP_LOGIN" in output and "NAME[bot]" in output and "docs/deploy.md" in output
    assert github.requested == []


def test_it_times_out(github, deployed):
    run, commit, _ = deployed
    github.report(commit, "argocd/production", "success", "Healthy")
    output = run.error("wait", "staging", commit, WAIT_TIMEOUT="200ms")
    assert "within 0.2 s" in output and "no status yet" in output and "shoutback in staging's Argo CD" in output


def test_a_later_commit_that_leaves_the_build_alone_counts(github, deployed):
    run, commit, build = deployed
    later = run.prints("deploy", "staging", build[0], "--platform")
    github.report(later, "argocd/staging", "success", "Healthy")
    run.prints("wait", "staging", commit)


def test_of_two_commits_the_newest_status_counts(github, deployed):
    run, commit, build = deployed
    later = run.prints("deploy", "staging", build[0], "--platform")
    github.report(later, "argocd/staging", "success", "Healthy")
    github.report(commit, "argocd/staging", "failure", "Degraded")
    assert "Degraded" in run.error("wait", "staging", commit)


def test_few_requests_whatever_came_later(github, merged, deployed):
    """A repository has 1,000 requests per hour."""
    run, commit, _ = deployed
    for _ in range(6):
        later, tag, _ = merged()
        last = later.prints("deploy", "staging", tag, "--platform")
    github.report(last, "argocd/staging", "success", "Healthy")
    run.prints("wait", "staging", commit)
    assert len(github.requested) <= 3


def test_another_deployment_in_the_meantime_is_a_failure(github, merged, deployed):
    run, commit, _ = deployed
    waiting = begin(run, "staging", commit)
    wait_until("it sends a request", lambda: github.requested)
    later, *build = merged()
    newer = later.prints("deploy", "staging", *build)
    github.report(newer, "argocd/staging", "success", "Healthy")
    done = waiting.result(30)
    assert done.returncode == 1
    assert "something else meanwhile" in done.stderr and newer[:7] in done.stderr


def test_temporary_errors_of_github_are_retried(github, deployed):
    run, commit, _ = deployed
    github.report(commit, "argocd/staging", "success", "Healthy")
    github.faults = [502, 429, 403]
    run.prints("wait", "staging", commit)
    assert github.faults == []


@pytest.mark.parametrize("fault", [401, 404, 422])
def test_permanent_errors_are_not_retried(github, deployed, fault):
    run, commit, _ = deployed
    github.faults = [fault]
    assert f"error: GET {github.url}" in (error := run.error("wait", "staging", commit)) and (str(fault) in error or "there is none" in error)


def test_a_token_is_never_printed(github, deployed):
    run, commit, _ = deployed
    output = run.error("wait", "staging", commit, GITHUB_TOKEN="ghs_another")
    assert ": 401 " in output and "ghs_another" not in output


def test_a_commit_that_is_not_a_deployment(deployed, source):
    run, *_ = deployed
    main = source.merge("Change something")
    assert "no commit of the branch" in run.error("wait", "staging", main)


def test_required_variables(deployed):
    run, commit, _ = deployed
    assert "GITHUB_TOKEN" in run.error("wait", "staging", commit, code=2, GITHUB_TOKEN="")
    assert "WAIT_TIMEOUT" in run.error("wait", "staging", commit, code=2, WAIT_TIMEOUT="soon")
