"""A private repository: git over https that asks for a login, with the variables that the workflows give to each program."""

import os

import pytest
import trustme

from harness.git import git

from git_server import READ, WRITE, GitServer


@pytest.fixture
def private(source, tmp_path):
    git(source.bare, "config", "http.receivepack", "true")
    authority = trustme.CA()
    with GitServer(source.directory, authority) as server:
        server.certificate = tmp_path / "authority.pem"
        authority.cert_pem.write_to_path(server.certificate)
        yield server


@pytest.fixture
def run(source, merged, private):
    run, *build = merged()
    git(run.directory, "remote", "set-url", "origin", private.url)
    run.variables = {"GIT_SSL_CAINFO": str(private.certificate)}
    run.build = build
    return run


BOTH = {"GITHUB_TOKEN": READ, "GITOPS_TOKEN": WRITE}


def test_each_program_gets_through_with_what_its_step_has(run, github, merged, private):
    deployment = run.prints("deploy", "staging", *run.build, **BOTH)
    github.report(deployment, "argocd/staging", "success", "Healthy")
    # The fake accepts its own token only; git needs another one here, as if they were the same.
    seen = github.variables | {"GITOPS_TOKEN": READ}
    run.prints("wait", "staging", deployment, **seen)
    # The jobs without the key: of the tests, of the announcement, of the candidate.
    reads = {"GITHUB_TOKEN": READ}
    assert run.build[0] in run.prints("history", "staging", **reads)
    assert "first deployment" in run.prints("describe", "production", *run.build, **reads)
    later, *build = merged()
    git(run.directory, "fetch", "--quiet", later.directory.as_uri(), "HEAD")
    run.prints("deploy", "staging", *build, **BOTH)
    run.prints("rollback", "staging", GITOPS_TOKEN=WRITE)
    assert private.rejected == []


def test_wait_reads_with_the_token_of_its_job(run, github, private, monkeypatch):
    deployment = run.prints("deploy", "staging", *run.build, **BOTH)
    github.report(deployment, "argocd/staging", "success", "Healthy")
    monkeypatch.setattr("git_server.READ", github.variables["GITHUB_TOKEN"])
    run.prints("wait", "staging", deployment, **github.variables)


def test_a_token_that_only_reads_deploys_nothing(run, source):
    error = run.error("deploy", "staging", *run.build, GITHUB_TOKEN=READ)
    assert "403" in error and READ not in error
    assert git(source.bare, "rev-parse", "--quiet", "--verify", "deploy/staging", succeeds=False) == ""


def test_without_a_token_there_is_no_prompt(run):
    """No prompt that a job would wait for."""
    assert "could not read Username" in run.error("history", "staging")


def test_a_token_is_never_an_argument(run, private):
    """Other processes on the machine can read those."""
    run.prints("deploy", "staging", *run.build, **BOTH)
    assert WRITE not in (run.directory / ".git/config").read_text()
    assert os.path.exists(private.certificate)
