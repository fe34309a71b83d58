"""Going back to an earlier build."""

import pytest

from harness.git import git
from test_deploy import meanwhile, tip


@pytest.fixture
def history(source, merged):
    """`history(number)` deploys that many releases to production; returns the last run, the builds, and the deployments' commits."""

    def history(number, environment="production"):
        builds, commits = [], []
        for _ in range(number):
            run, *build = merged()
            commits.append(run.prints("deploy", environment, *build))
            builds.append(tuple(build))
        return run, builds, commits

    return history


def test_it_returns_to_the_previous_build(source, history):
    run, [first, second], commits = history(2)
    commit, build = run.prints("rollback", "production", GITHUB_ACTOR="ada", GITHUB_RUN_ID="7", GITHUB_SERVER_URL="https://x.test", GITHUB_REPOSITORY="o/r").split()
    assert (commit, build) == (tip(source, "production"), first[0])
    assert source.image("production") == first
    message = git(source.bare, "log", "-1", "--format=%an%n%B", commit)
    for part in ("ada\n", "Roll production back to", f"From: {second[0]}", f"Commit: {first[0]}", "https://x.test/o/r/actions/runs/7"):
        assert part in message
    # The history is not rewritten.
    assert git(source.bare, "rev-parse", "deploy/production~1") == commits[-1]


def test_an_undone_deployment_names_its_person_and_run(source, history):
    run, _, commits = history(2)
    run.prints("rollback", "production", "--undo", commits[-1], GITHUB_ACTOR="ada", GITHUB_RUN_ID="7", GITHUB_SERVER_URL="https://x.test", GITHUB_REPOSITORY="o/r")
    message = git(source.bare, "log", "-1", "--format=%an%n%(trailers)", "deploy/production")
    for part in ("ada\n", "Actor: ada", "Pipeline: https://x.test/o/r/actions/runs/7"):
        assert part in message


def test_by_hand_it_names_the_person_of_gits_configuration(source, history):
    run, *_ = history(2)
    git(run.directory, "config", "user.name", "Grace Hopper")
    git(run.directory, "config", "user.email", "grace@example.com")
    run.prints("rollback", "production")
    found = git(source.bare, "log", "-1", "--format=%an <%ae>|%(trailers:key=Actor,valueonly,separator=)", "deploy/production")
    assert found == "Grace Hopper <grace@example.com>|grace@example.com"


def test_each_call_goes_one_more_step_back(source, history):
    """Never forward again to the build that was just taken back."""
    run, [oldest, middle, newest], _ = history(3)
    seen = []
    for _ in range(2):
        run.prints("rollback", "production")
        seen.append(source.image("production"))
    assert seen == [middle, oldest]
    before = tip(source, "production")
    assert "nothing to go back to" in run.error("rollback", "production")
    assert tip(source, "production") == before


def test_it_returns_to_any_earlier_build(source, history):
    run, builds, _ = history(4)
    run.prints("rollback", "production", "--to", builds[1][0])
    assert source.image("production") == builds[1]
    run.prints("rollback", "production", "--to", builds[0][0][:7])
    assert source.image("production") == builds[0]


def test_it_never_returns_to_what_was_taken_back(source, history, merged):
    run, builds, _ = history(4)
    run.prints("rollback", "production", "--to", builds[1][0])
    # The current one, two that were taken back, one that staging alone has had, and one that neither has had.
    later, *fifth = merged()
    later.prints("deploy", "staging", *fifth)
    before = tip(source, "production")
    for build in [builds[1], builds[2], builds[3], fifth, ("a" * 40, "")]:
        error = run.error("rollback", "production", "--to", build[0])
        assert f"{build[0]} is not one of" in error
        assert [line.strip() for line in error.splitlines()[1:]] == [builds[0][0]]
    assert tip(source, "production") == before


def test_a_build_that_is_deployed_again_counts_again(source, history, merged):
    run, [first, second], _ = history(2)
    run.prints("rollback", "production")
    run.prints("deploy", "production", *second)
    later, *third = merged()
    later.prints("deploy", "production", *third)
    run.prints("rollback", "production")
    assert source.image("production") == second
    run.prints("rollback", "production")
    assert source.image("production") == first


def test_two_builds_with_the_same_beginning(source, history, monkeypatch):
    run, builds, _ = history(2)
    assert "usage" in run.error("rollback", "production", "--to", builds[0][0][:6], code=2)
    assert "usage" in run.error("rollback", "production", "--to", "HEAD~1", code=2)


def test_the_first_deployment_cannot_be_taken_back(source, history):
    run, _, [commit] = history(1)
    assert "nothing to go back to" in run.error("rollback", "production")
    assert "nothing to go back to" in run.error("rollback", "production", "--undo", commit)
    assert "runs nothing yet" in run.error("rollback", "staging")
    assert tip(source, "production") == commit


def test_a_concurrent_rollback_goes_back_once(source, history):
    """The decision is repeated on the new branch: to the same build, and no further."""
    run, [first, second, third], commits = history(3)
    run.prints("rollback", "production", "--to", first[0])
    ahead = tip(source, "production")
    git(source.bare, "update-ref", "refs/heads/deploy/production", f"{ahead}~1")
    meanwhile(source, f"git update-ref refs/heads/deploy/production {ahead}")
    assert "nothing to go back to" in run.error("rollback", "production", "--to", first[0])
    assert source.image("production") == first


class TestUndo:
    """What the pipeline does after a failed deployment."""

    def test_it_returns_to_the_previous_build(self, source, history):
        run, [first, second, third], commits = history(3)
        run.prints("rollback", "production", "--undo", commits[-1])
        assert source.image("production") == second

    def test_again_changes_nothing(self, source, history):
        """A second attempt of the same run."""
        run, [first, second, third], commits = history(3)
        commit, _ = run.prints("rollback", "production", "--undo", commits[-1]).split()
        assert run.prints("rollback", "production", "--undo", commits[-1]) == ""
        assert tip(source, "production") == commit

    def test_a_later_deployment_is_left_alone(self, source, history, merged):
        run, _, commits = history(2)
        later, *build = merged()
        third = later.prints("deploy", "production", *build)
        done = run("rollback", "production", "--undo", commits[-1])
        assert (done.returncode, done.stdout) == (0, "")
        assert "came later" in done.stderr
        assert tip(source, "production") == third

    def test_a_concurrent_deployment_is_left_alone(self, source, history, merged):
        run, _, commits = history(2)
        later, *build = merged()
        third = later.prints("deploy", "production", *build)
        git(source.bare, "update-ref", "refs/heads/deploy/production", f"{third}~1")
        meanwhile(source, f"git update-ref refs/heads/deploy/production {third}")
        assert run.prints("rollback", "production", "--undo", commits[-1]) == ""
        assert tip(source, "production") == third

    def test_other_commits_are_errors(self, source, history):
        run, _, commits = history(2)
        assert "no commit of the branch" in run.error("rollback", "production", "--undo", git(source.bare, "rev-parse", "main"))
        main = git(source.bare, "rev-parse", "main")
        run.prints("deploy", "staging", main, "--platform")
        platform = run.prints("deploy", "production", main, "--platform")
        assert "deployed nothing" in run.error("rollback", "production", "--undo", platform)
        run.error("rollback", "production", "--undo", "HEAD", code=2)
        run.error("rollback", "production", "--undo", commits[-1], "--to", "a" * 40, code=2)
