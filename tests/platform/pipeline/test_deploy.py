"""Commits on the branch deploy: their content, their order, and rejected deployments."""

import subprocess

import pytest

from harness.git import git

IMAGE = "gitops/service/{}/image.yaml"

OTHER_DIGEST = f"sha256:{'f' * 64}"


def tip(source):
    return git(source.bare, "rev-parse", "--quiet", "--verify", "deploy", succeeds=False)


def test_the_first_deployment_creates_the_branch(source, merged):
    run, tag, digest = merged("Say hello")
    before = git(source.bare, "rev-parse", "main")
    commit = run.prints("deploy", "staging", tag, digest, GITHUB_RUN_ID="7", GITHUB_SERVER_URL="https://x.test", GITHUB_REPOSITORY="o/r")
    assert commit == tip(source)
    assert source.image("staging") == (tag, digest)
    assert git(source.bare, "ls-tree", "-r", "--name-only", "deploy").split() == ["README.md", IMAGE.format("staging")]
    # It shares no history with main.
    assert git(source.bare, "rev-list", "--count", "deploy") == "1"
    assert git(source.bare, "rev-parse", "main") == before
    message = git(source.bare, "log", "-1", "--format=%an%n%B", "deploy")
    for part in ("Release pipeline", "in staging", "Merge: Say hello", tag, digest, "https://x.test/o/r/actions/runs/7"):
        assert part in message


def test_again_changes_nothing(source, merged):
    run, tag, digest = merged()
    commit = run.prints("deploy", "staging", tag, digest)
    assert run.prints("deploy", "staging", tag, digest) == commit
    production = run.prints("deploy", "production", tag, digest)
    # Even after later commits on the branch.
    assert run.prints("deploy", "staging", tag, digest) == commit
    assert tip(source) == production


def test_newer_builds_follow(source, merged):
    builds = []
    for _ in range(3):
        run, tag, digest = merged()
        run.prints("deploy", "staging", tag, digest)
        builds.append((tag, digest))
    assert [source.image("staging", commit) for commit in source.deployments()] == builds


def test_an_older_build_does_not_replace_a_newer_one(source, merged):
    older, newer = merged(), merged()
    for run, *build in (newer,):
        run.prints("deploy", "staging", *build)
        run.prints("deploy", "production", *build)
    before = tip(source)
    run, *build = older
    done = run("deploy", "staging", *build)
    assert (done.returncode, done.stdout) == (0, "")
    assert "superseded" in done.stderr
    assert "newer" in run.error("deploy", "production", *build)
    assert tip(source) == before


def test_of_concurrent_deployments_the_newer_wins(source, merged):
    first = merged()
    first[0].prints("deploy", "staging", *first[1:])
    pair = [merged(), merged()]
    # Started without `Run`, which waits for its program.
    running = [
        subprocess.Popen(
            [run.directory / "scripts/release/deploy", "staging", *build],
            cwd=run.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for run, *build in pair
    ]
    ended = [(process.communicate(timeout=60), process.returncode) for process in running]
    assert [code for _, code in ended] == [0, 0], ended
    assert source.image("staging") == tuple(pair[1][1:])
    assert source.image("staging", ended[1][0][0].strip()) == tuple(pair[1][1:])


def meanwhile(source, command, times=1):
    """Runs `command` in the bare repository just before it accepts a push, for the next `times` pushes."""
    counter = source.bare / "times"
    counter.write_text(str(times))
    hook = source.bare / "hooks/pre-receive"
    hook.write_text(
        f"#!/usr/bin/env bash\nleft=$(<{counter})\n((left > 0)) || exit 0\necho $((left - 1)) >{counter}\n"
        # Outside git's quarantine for the pushed objects.
        f"unset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES\n{command}\n"
    )
    hook.chmod(0o755)


def moves_to(commit):
    return f"git update-ref refs/heads/deploy {commit}"


def reset_branch(source, commits=1):
    """Resets the branch by `commits` and returns its former tip."""
    after = tip(source)
    git(source.bare, "update-ref", "refs/heads/deploy", f"{after}~{commits}")
    return after


def test_after_a_rejected_push_the_decision_is_repeated(source, merged):
    first, older, newer = merged(), merged(), merged()
    first[0].prints("deploy", "staging", *first[1:])
    newer[0].prints("deploy", "staging", *newer[1:])
    ahead = reset_branch(source)

    meanwhile(source, moves_to(ahead))
    done = older[0]("deploy", "staging", *older[1:])
    assert (done.returncode, done.stdout) == (0, ""), done
    assert "moved on" in done.stderr and "superseded" in done.stderr
    assert tip(source) == ahead


def test_a_push_rejected_for_another_environment_is_rebased(source, merged):
    first, second = merged(), merged()
    first[0].prints("deploy", "staging", *first[1:])
    first[0].prints("deploy", "production", *first[1:])
    ahead = reset_branch(source)

    meanwhile(source, moves_to(ahead))
    second[0].prints("deploy", "staging", *second[1:])
    assert git(source.bare, "rev-parse", "deploy~1") == ahead
    assert source.image("staging") == tuple(second[1:])
    assert source.image("production") == tuple(first[1:])


def test_it_retries_a_limited_number_of_times(source, merged):
    first, second = merged(), merged()
    first[0].prints("deploy", "staging", *first[1:])
    more = "git commit-tree -p deploy -m More 'deploy^{tree}'"
    names = "GIT_AUTHOR_NAME=x GIT_AUTHOR_EMAIL=x GIT_COMMITTER_NAME=x GIT_COMMITTER_EMAIL=x"
    meanwhile(source, f"git update-ref refs/heads/deploy $({names} {more})", times=1000)
    assert "nothing was deployed" in second[0].error("deploy", "staging", *second[1:])
    assert source.image("staging") == tuple(first[1:])


def test_a_forbidden_push_is_an_error(source, merged):
    run, *build = merged()
    meanwhile(source, "echo only the pipeline may push here >&2; exit 1", times=1000)
    assert "only the pipeline may push here" in run.error("deploy", "staging", *build)
    assert (source.bare / "times").read_text() == "999\n"


def test_an_unrelated_commit_is_an_error(source, merged):
    run, *build = merged()
    run.prints("deploy", "staging", *build)
    git(source.work, "checkout", "--quiet", "--detach", "HEAD~1")
    git(source.work, "commit", "--quiet", "--allow-empty", "--message", "Aside")
    git(source.work, "push", "--quiet", "origin", "HEAD:refs/heads/aside")
    aside = git(source.work, "rev-parse", "HEAD")
    assert "neither" in source.run(aside).error("deploy", "staging", aside, OTHER_DIGEST)


def test_a_commit_has_one_image(merged):
    run, tag, digest = merged()
    run.prints("deploy", "staging", tag, digest)
    assert "another image of the same commit" in run.error("deploy", "staging", tag, OTHER_DIGEST)


def test_production_accepts_only_builds_of_staging(source, merged):
    first, second = merged(), merged()
    run, tag, digest = first
    assert "never had" in run.error("deploy", "production", tag, digest)
    run.prints("deploy", "staging", tag, digest)
    assert "never had" in run.error("deploy", "production", tag, OTHER_DIGEST)
    assert "never had" in second[0].error("deploy", "production", *second[1:])
    # Also earlier ones.
    second[0].prints("deploy", "staging", *second[1:])
    run.prints("deploy", "production", tag, digest)
    assert source.image("production") == (tag, digest)
    assert source.image("staging") == tuple(second[1:])


def test_a_commit_merged_after_the_checkout_is_fetched(source, merged):
    first, second = merged(), merged()
    third, *build = merged()
    third.prints("deploy", "staging", *build)
    # The checkouts of the earlier runs lack it.
    assert git(first[0].directory, "cat-file", "-t", build[0], succeeds=False) == ""
    assert "superseded" in first[0]("deploy", "staging", *first[1:]).stderr
    git(second[0].directory, "remote", "set-url", "--push", "origin", "nowhere")
    git(second[0].directory, "config", "remote.origin.fetch", "+refs/heads/none*:refs/remotes/origin/none*")
    assert "whole history" in second[0].error("deploy", "staging", *second[1:])


def test_a_separate_repository(source, merged, tmp_path):
    own = tmp_path / "gitops.git"
    git(tmp_path, "init", "--quiet", "--bare", own)
    run, *build = merged()
    commit = run.prints("deploy", "staging", *build, GITOPS_REMOTE=str(own), GITOPS_BRANCH="environments")
    assert git(own, "rev-parse", "environments") == commit
    assert tip(source) == ""


def test_a_branch_with_other_commits_is_an_error(source, merged):
    first, second = merged(), merged()
    first[0].prints("deploy", "staging", *first[1:])
    git(source.directory, "clone", "--quiet", "--branch=deploy", source.bare, "other")
    file = source.directory / "other" / IMAGE.format("staging")
    file.write_text(file.read_text() + "  pullPolicy: Always\n")
    git(source.directory / "other", "commit", "--quiet", "--all", "--message", "Meddle")
    git(source.directory / "other", "push", "--quiet")
    assert "was not written by" in second[0].error("deploy", "staging", *second[1:])


@pytest.mark.parametrize(
    "arguments",
    [
        ("testing", "a" * 40, OTHER_DIGEST),
        ("staging", "main", OTHER_DIGEST),
        ("staging", "a" * 12, OTHER_DIGEST),
        ("staging", "a" * 40, "latest"),
        ("staging", "a" * 40, "f" * 64),
        ("staging", "a" * 40),
    ],
)
def test_invalid_commits_and_digests_are_wrong_usage(source, merged, arguments):
    run, *_ = merged()
    run.error("deploy", *arguments, code=2)
    assert tip(source) == ""


def test_an_unknown_commit_is_an_error(merged):
    run, *_ = merged()
    assert "nor origin has the commit" in run.error("deploy", "staging", "a" * 40, OTHER_DIGEST)
