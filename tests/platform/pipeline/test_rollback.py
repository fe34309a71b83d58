"""Taking a deployment back."""

import pytest

from harness.git import git
from test_deploy import meanwhile, moves_to, put_back, tip


@pytest.fixture
def two(source, merged):
    """Production has had two releases; the commits by which it got them."""
    commits = []
    for _ in range(2):
        run, *build = merged()
        run.prints("deploy", "staging", *build)
        commits.append(run.prints("deploy", "production", *build))
    return run, *commits


def test_it_is_the_release_before_again(source, two):
    run, first, second = two
    staging = source.image("staging")
    commit = run.prints("rollback", "production", second)
    assert commit == tip(source)
    assert source.image("production") == source.image("production", first)
    assert source.image("staging") == staging
    assert f"This reverts commit {second}" in git(source.bare, "log", "-1", "--format=%B", commit)
    # Nothing is rewritten.
    assert git(source.bare, "rev-parse", "deploy~1") == second


def test_again_changes_nothing(source, two):
    run, _, second = two
    commit = run.prints("rollback", "production", second)
    assert run.prints("rollback", "production", second) == commit
    assert tip(source) == commit


def test_what_came_later_is_left_alone(source, merged, two):
    run, _, second = two
    later, *build = merged()
    later.prints("deploy", "staging", *build)
    third = later.prints("deploy", "production", *build)
    done = run("rollback", "production", second)
    assert (done.returncode, done.stdout.strip()) == (0, third)
    assert "came later" in done.stderr
    assert source.image("production") == tuple(build)


def test_what_comes_meanwhile_is_left_alone(source, merged, two):
    run, _, second = two
    later, *build = merged()
    later.prints("deploy", "staging", *build)
    third = later.prints("deploy", "production", *build)
    put_back(source)
    meanwhile(source, moves_to(third))
    assert run.prints("rollback", "production", second) == third
    assert tip(source) == third


def test_staging_goes_back_though_production_came_after_it(source, merged, two):
    run, *_ = two
    before = source.image("staging")
    later, *build = merged()
    third = later.prints("deploy", "staging", *build)
    put_back(source)
    git(source.bare, "update-ref", "refs/heads/deploy", third)
    run.prints("rollback", "staging", third)
    assert source.image("staging") == before


def test_the_next_release_comes_after_it(source, merged, two):
    run, _, second = two
    run.prints("rollback", "production", second)
    later, *build = merged()
    later.prints("deploy", "staging", *build)
    later.prints("deploy", "production", *build)
    assert source.image("production") == tuple(build)


def test_the_first_one_cannot_be_taken_back(source, merged):
    run, *build = merged()
    commit = run.prints("deploy", "staging", *build)
    assert "nothing to go back to" in run.refused("rollback", "staging", commit)
    assert tip(source) == commit


def test_what_is_no_deployment_of_it(source, two):
    run, _, second = two
    assert "no commit of the branch" in run.refused("rollback", "production", git(source.bare, "rev-parse", "main"))
    assert "no deployment of staging" in run.refused("rollback", "staging", second)
    run.refused("rollback", "production", "HEAD", code=2)
