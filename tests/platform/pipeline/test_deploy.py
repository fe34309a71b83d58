"""Commits on the branches deploy/ENVIRONMENT: their content, their order, and rejected deployments."""

import subprocess

import pytest

from harness.git import git

IMAGE = "gitops/service/{}/image.yaml"

OTHER_DIGEST = f"sha256:{'f' * 64}"


def tip(source, environment="staging"):
    return git(source.bare, "rev-parse", "--quiet", "--verify", f"deploy/{environment}", succeeds=False)


def test_the_first_deployment_creates_the_branch(source, merged):
    run, tag, digest = merged("Say hello")
    before = git(source.bare, "rev-parse", "main")
    commit = run.prints("deploy", "staging", tag, digest, GITHUB_RUN_ID="7", GITHUB_SERVER_URL="https://x.test", GITHUB_REPOSITORY="o/r")
    assert commit == tip(source)
    assert source.image("staging") == (tag, digest)
    assert git(source.bare, "ls-tree", "-r", "--name-only", "deploy/staging").split() == ["README.md", IMAGE.format("staging"), "gitops/service/staging/overrides.yaml"]
    # It shares no history with main.
    assert git(source.bare, "rev-list", "--count", "deploy/staging") == "1"
    assert git(source.bare, "rev-parse", "main") == before
    message = git(source.bare, "log", "-1", "--format=%an%n%B", "deploy/staging")
    for part in ("Release pipeline", "in staging", "Merge: Say hello", tag, digest, "https://x.test/o/r/actions/runs/7"):
        assert part in message


def test_a_deployment_names_its_person_and_run(source, merged):
    run, *build = merged()
    run.prints("deploy", "staging", *build, GITHUB_ACTOR="ada", GITHUB_RUN_ID="7", GITHUB_SERVER_URL="https://x.test", GITHUB_REPOSITORY="o/r")
    run.prints("deploy", "production", *build, GITHUB_ACTOR="grace")
    assert git(source.bare, "log", "-1", "--format=%an|%cn|%(trailers:key=Actor,valueonly,separator=)", "deploy/staging") == "ada|Release pipeline|ada"
    assert git(source.bare, "log", "-1", "--format=%an", "deploy/production") == "grace"


def test_again_changes_nothing(source, merged):
    run, tag, digest = merged()
    commit = run.prints("deploy", "staging", tag, digest)
    assert run.prints("deploy", "staging", tag, digest) == f"{commit} unchanged"
    assert tip(source) == commit


def test_an_environment_has_its_own_branch(source, merged):
    """So that the key which deploys to staging need not be able to push what production runs."""
    run, tag, digest = merged()
    staging = run.prints("deploy", "staging", tag, digest)
    production = run.prints("deploy", "production", tag, digest)
    assert (tip(source), tip(source, "production")) == (staging, production)
    for environment, other in (("staging", "production"), ("production", "staging")):
        assert f"/{other}/" not in git(source.bare, "ls-tree", "-r", "--name-only", f"deploy/{environment}")


def test_newer_builds_follow(source, merged):
    builds = []
    for _ in range(3):
        run, tag, digest = merged()
        run.prints("deploy", "staging", tag, digest)
        builds.append((tag, digest))
    assert [source.image("staging", commit) for commit in source.deployments("staging")] == builds


def test_an_older_build_does_not_replace_a_newer_one(source, merged):
    older, newer = merged(), merged()
    for run, *build in (newer,):
        run.prints("deploy", "staging", *build)
        run.prints("deploy", "production", *build)
    before = tip(source), tip(source, "production")
    run, *build = older
    done = run("deploy", "staging", *build)
    assert (done.returncode, done.stdout) == (0, "")
    assert "superseded" in done.stderr
    assert "newer" in run.error("deploy", "production", *build)
    assert (tip(source), tip(source, "production")) == before


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
    return f"git update-ref refs/heads/deploy/staging {commit}"


def reset_branch(source):
    """Resets staging's branch by one commit and returns its former tip."""
    after = tip(source)
    git(source.bare, "update-ref", "refs/heads/deploy/staging", f"{after}~1")
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


def test_a_push_rejected_for_the_platform_is_repeated(source, merged):
    first, second = merged(), merged()
    first[0].prints("deploy", "staging", *first[1:])
    first[0].prints("deploy", "staging", first[1], "--platform")
    ahead = reset_branch(source)

    meanwhile(source, moves_to(ahead))
    second[0].prints("deploy", "staging", *second[1:])
    assert git(source.bare, "rev-parse", "deploy/staging~1") == ahead
    assert source.image("staging") == tuple(second[1:])
    assert first[1] in source.file("deploy/staging", "gitops/platform/staging/commit.yaml")


def test_it_retries_a_limited_number_of_times(source, merged):
    first, second = merged(), merged()
    first[0].prints("deploy", "staging", *first[1:])
    more = "git commit-tree -p deploy/staging -m More 'deploy/staging^{tree}'"
    names = "GIT_AUTHOR_NAME=x GIT_AUTHOR_EMAIL=x GIT_COMMITTER_NAME=x GIT_COMMITTER_EMAIL=x"
    meanwhile(source, f"git update-ref refs/heads/deploy/staging $({names} {more})", times=1000)
    assert "nothing was deployed" in second[0].error("deploy", "staging", *second[1:])
    assert source.image("staging") == tuple(first[1:])


def test_a_forbidden_push_is_an_error(source, merged):
    run, *build = merged()
    meanwhile(source, "echo only the pipeline may push here >&2; exit 1", times=1000)
    assert "only the pipeline may push here" in run.error("deploy", "staging", *build)
    assert (source.bare / "times").read_text() == "999\n"


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_a_commit_that_is_not_on_main_is_rejected(source, merged, environment):
    run, *build = merged()
    run.prints("deploy", environment, *build)
    git(source.work, "commit", "--quiet", "--allow-empty", "--message", "Aside")
    aside = git(source.work, "rev-parse", "HEAD")
    git(source.work, "push", "--quiet", "origin", "HEAD:refs/heads/aside", "HEAD:refs/heads/main2", "HEAD:refs/tags/main")
    assert "no commit of origin's main" in source.run(aside).error("deploy", environment, aside, OTHER_DIGEST)
    assert source.image(environment) == tuple(build)


def test_a_branch_that_was_merged_later_is_neither_newer_nor_older(source, merged):
    base = source.merge("Base")
    git(source.work, "commit", "--quiet", "--allow-empty", "--message", "Aside")
    aside = git(source.work, "rev-parse", "HEAD")
    git(source.work, "reset", "--quiet", "--hard", base)
    run, *build = merged()
    run.prints("deploy", "production", *build)
    git(source.work, "merge", "--quiet", "--no-ff", "--message", "Merge aside", aside)
    git(source.work, "push", "--quiet", "origin", "main")
    assert "neither" in source.run(aside).error("deploy", "production", aside, OTHER_DIGEST)


def test_after_main_was_rewritten_the_next_build_is_deployed(source, merged):
    base = source.merge("Base")
    run, *build = merged()
    run.prints("deploy", "production", *build)
    git(source.work, "reset", "--quiet", "--hard", base)
    git(source.work, "commit", "--quiet", "--allow-empty", "--message", "Another history")
    git(source.work, "push", "--quiet", "--force", "origin", "main")
    commit = git(source.work, "rev-parse", "HEAD")
    done = source.run(commit)("deploy", "production", commit, OTHER_DIGEST)
    assert done.returncode == 0 and "no longer on main" in done.stderr
    assert source.image("production") == (commit, OTHER_DIGEST)


def test_a_commit_has_one_image(merged):
    run, tag, digest = merged()
    run.prints("deploy", "staging", tag, digest)
    assert "another image of the same commit" in run.error("deploy", "staging", tag, OTHER_DIGEST)


def test_commits_merged_after_the_checkout_are_known(source, merged):
    first = merged()
    later, *build = merged()
    later.prints("deploy", "staging", *build)
    assert git(first[0].directory, "cat-file", "-t", build[0], succeeds=False) == "", "the checkout of the earlier run should lack it"
    assert "superseded" in first[0]("deploy", "staging", *first[1:]).stderr


def test_a_shallow_checkout_is_an_error(source, merged):
    run, *build = merged()
    git(source.directory, "clone", "--quiet", "--depth=1", f"file://{source.bare}", "shallow")
    run.directory = source.directory / "shallow"
    assert "whole history" in run.error("deploy", "staging", *build)
    assert tip(source) == ""


def test_a_separate_repository(source, merged, tmp_path):
    own = tmp_path / "gitops.git"
    git(tmp_path, "init", "--quiet", "--bare", own)
    run, *build = merged()
    relative = f"../../{own.name}"
    assert (run.directory / relative).resolve() == own
    commit = run.prints("deploy", "staging", *build, GITOPS_REMOTE=relative)
    assert git(own, "rev-parse", "deploy/staging") == commit
    assert tip(source) == ""


def test_a_branch_with_other_commits_is_an_error(source, merged):
    first, second = merged(), merged()
    first[0].prints("deploy", "staging", *first[1:])
    git(source.directory, "clone", "--quiet", "--branch=deploy/staging", source.bare, "other")
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
    assert "no commit of origin's main" in run.error("deploy", "staging", "a" * 40, OTHER_DIGEST)
