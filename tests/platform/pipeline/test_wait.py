"""Waiting for Argo CD."""

import pytest

from harness.process import wait_until

SOON = {"WAIT_INTERVAL": "50ms", "WAIT_TIMEOUT": "30s"}


@pytest.fixture
def deployed(merged, github):
    """A run, and the commit by which staging is to run it."""
    run, *build = merged()
    run.variables = github.variables | SOON
    return run, run.prints("deploy", "staging", *build), build


def begin(run, *arguments):
    """The program, under way."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(1).submit(run, "wait", *arguments)


def test_it_ends_when_the_environment_runs_it(github, deployed):
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


def test_it_fails_when_the_deployment_does(github, deployed):
    run, commit, _ = deployed
    github.report(commit, "argocd/staging", "failure", "Degraded")
    said = run.refused("wait", "staging", commit)
    assert "Degraded" in said and "Argo CD" in said


def test_the_newest_status_counts(github, deployed):
    run, commit, _ = deployed
    github.report(commit, "argocd/staging", "failure", "Degraded")
    github.report(commit, "argocd/staging", "success", "Healthy")
    run.prints("wait", "staging", commit)


def test_it_does_not_wait_for_ever(github, deployed):
    run, commit, _ = deployed
    github.report(commit, "argocd/production", "success", "Healthy")
    said = run.refused("wait", "staging", commit, WAIT_TIMEOUT="200ms")
    assert "within 0.2 s" in said and "no status yet" in said and "shoutback in staging's Argo CD" in said


def test_a_later_commit_that_left_it_alone_counts(github, deployed):
    run, commit, build = deployed
    later = run.prints("deploy", "production", *build)
    github.report(later, "argocd/staging", "success", "Healthy")
    run.prints("wait", "staging", commit)


def test_of_two_commits_the_newest_status_counts(github, deployed):
    run, commit, build = deployed
    later = run.prints("deploy", "production", *build)
    github.report(later, "argocd/staging", "success", "Healthy")
    github.report(commit, "argocd/staging", "failure", "Degraded")
    assert "Degraded" in run.refused("wait", "staging", commit)


def test_what_was_deployed_meanwhile_is_something_else(github, merged, deployed):
    run, commit, _ = deployed
    waiting = begin(run, "staging", commit)
    wait_until("it sends a request", lambda: github.requested)
    later, *build = merged()
    newer = later.prints("deploy", "staging", *build)
    github.report(newer, "argocd/staging", "success", "Healthy")
    done = waiting.result(30)
    assert done.returncode == 1
    assert "something else meanwhile" in done.stderr and newer[:7] in done.stderr


def test_faults_of_github_pass(github, deployed):
    run, commit, _ = deployed
    github.report(commit, "argocd/staging", "success", "Healthy")
    github.faults = [502, 429, 403]
    run.prints("wait", "staging", commit)
    assert github.faults == []


@pytest.mark.parametrize("fault", [401, 404, 422])
def test_faults_of_ours_do_not(github, deployed, fault):
    run, commit, _ = deployed
    github.faults = [fault]
    assert f"responded with {fault}" in run.refused("wait", "staging", commit)


def test_a_token_is_never_said(github, deployed):
    run, commit, _ = deployed
    said = run.refused("wait", "staging", commit, GITHUB_TOKEN="ghs_another")
    assert "responded with 401" in said and "ghs_another" not in said


def test_a_commit_that_is_no_deployment(deployed, source):
    run, *_ = deployed
    main = source.merge("Change something")
    assert "no commit of the branch" in run.refused("wait", "staging", main)


def test_what_it_has_to_be_told(deployed):
    run, commit, _ = deployed
    assert "GITHUB_TOKEN" in run.refused("wait", "staging", commit, code=2, GITHUB_TOKEN="")
    assert "WAIT_TIMEOUT" in run.refused("wait", "staging", commit, code=2, WAIT_TIMEOUT="soon")
