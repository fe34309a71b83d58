"""Rolling back a deployment."""

import pytest

from harness.git import git
from test_deploy import meanwhile, moves_to, reset_branch, tip


@pytest.fixture
def two(source, merged):
    """Deploys two releases to production and returns the commits of the deployments."""
    commits = []
    for _ in range(2):
        run, *build = merged()
        run.prints("deploy", "staging", *build)
        commits.append(run.prints("deploy", "production", *build))
    return run, *commits


def test_it_restores_the_previous_release(source, two):
    run, first, second = two
    staging = source.image("staging")
    commit = run.prints("rollback", "production", second)
    assert commit == tip(source)
    assert source.image("production") == source.image("production", first)
    assert source.image("staging") == staging
    assert f"This reverts commit {second}" in git(source.bare, "log", "-1", "--format=%B", commit)
    # The history is not rewritten.
    assert git(source.bare, "rev-parse", "deploy~1") == second


def test_again_changes_nothing(source, two):
    run, _, second = two
    commit = run.prints("rollback", "production", second)
    assert run.prints("rollback", "production", second) == commit
    assert tip(source) == commit


def test_a_later_deployment_is_not_reverted(source, merged, two):
    run, _, second = two
    later, *build = merged()
    later.prints("deploy", "staging", *build)
    third = later.prints("deploy", "production", *build)
    done = run("rollback", "production", second)
    assert (done.returncode, done.stdout.strip()) == (0, third)
    assert "came later" in done.stderr
    assert source.image("production") == tuple(build)


def test_a_concurrent_deployment_is_not_reverted(source, merged, two):
    run, _, second = two
    later, *build = merged()
    later.prints("deploy", "staging", *build)
    third = later.prints("deploy", "production", *build)
    reset_branch(source)
    meanwhile(source, moves_to(third))
    assert run.prints("rollback", "production", second) == third
    assert tip(source) == third


def test_staging_is_reverted_despite_later_deployments_to_production(source, merged, two):
    run, *_ = two
    before = source.image("staging")
    later, *build = merged()
    third = later.prints("deploy", "staging", *build)
    reset_branch(source)
    git(source.bare, "update-ref", "refs/heads/deploy", third)
    run.prints("rollback", "staging", third)
    assert source.image("staging") == before


def test_the_next_release_follows_it(source, merged, two):
    run, _, second = two
    run.prints("rollback", "production", second)
    later, *build = merged()
    later.prints("deploy", "staging", *build)
    later.prints("deploy", "production", *build)
    assert source.image("production") == tuple(build)


def test_the_first_deployment_cannot_be_reverted(source, merged):
    run, *build = merged()
    commit = run.prints("deploy", "staging", *build)
    assert "nothing to go back to" in run.error("rollback", "staging", commit)
    assert tip(source) == commit


def test_other_commits_are_errors(source, two):
    run, _, second = two
    assert "no commit of the branch" in run.error("rollback", "production", git(source.bare, "rev-parse", "main"))
    assert "no deployment of staging" in run.error("rollback", "staging", second)
    run.error("rollback", "production", "HEAD", code=2)
