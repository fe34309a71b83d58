"""What the reviewer of a promotion sees."""

import re

from harness.git import git

VARIABLES = {"GITHUB_REPOSITORY": "example/shoutback", "GITHUB_SERVER_URL": "https://github.com"}


def sections(text):
    """Returns the text of each section by its title."""
    return {title: body.strip("\n`") for title, body in re.findall(r"^### (.*)\n\n((?:(?!###).*\n?)*)", text, re.M)}


def changed(name):
    return {name: lambda text: text + "new\n"}


def test_the_reviewer_sees_what_changes(source, merged):
    first, *build = merged("First")
    (source.work / "terraform").mkdir()
    (source.work / "gitops/platform").mkdir(parents=True)
    (source.work / "gitops/service/production").mkdir(parents=True)
    first.prints("deploy", "production", *build)
    source.merge("Fix `a` <b> and @sre", changed("CHANGELOG.md"))
    source.merge("Widen the network", changed("terraform/main.tf"))
    source.merge("Update an add-on", changed("gitops/platform/values.yaml"))
    run, tag, digest = source.run(source.merge("Shorten a timeout", changed("gitops/service/production/values.yaml"))), git(source.bare, "rev-parse", "main"), build[1]
    text = run.prints("describe", "production", tag, digest, **VARIABLES)
    assert f"## production: {build[0][:12]} → {tag[:12]}" in text
    assert f"[Compare](https://github.com/example/shoutback/compare/{build[0]}...{tag})" in text and digest in text
    found = sections(text)
    for title in ("Fix `a` <b> and @sre", "Widen the network", "Update an add-on", "Shorten a timeout"):
        assert title in found["Commits"]
    assert "First" not in found["Commits"]
    assert found["Changelog"] == "new"
    assert [name for name in found if "gitops/service/production/values.yaml" in found[name]] == ["Configuration"]
    assert [name for name in found if "terraform/main.tf" in found[name]] == ["Infrastructure, which has to be applied before"]
    assert [name for name in found if "gitops/platform/values.yaml" in found[name]] == ["Add-ons, which are deployed apart"]


def test_what_does_not_change_is_said(merged):
    first, *build = merged()
    first.prints("deploy", "production", *build)
    run, *newer = merged("Only this")
    found = sections(run.prints("describe", "production", *newer, **VARIABLES))
    assert "Only this" in found["Commits"] and found["Changelog"] == found["Configuration"] == "None."


def test_the_commit_of_production_no_longer_exists(source, merged):
    """main was rewritten; `deploy` replaces such a build."""
    base = source.merge("Base")
    run, *build = merged()
    run.prints("deploy", "production", *build)
    git(source.work, "reset", "--quiet", "--hard", base)
    git(source.work, "commit", "--quiet", "--allow-empty", "--message", "Another history")
    git(source.work, "push", "--quiet", "--force", "origin", "main")
    commit = git(source.work, "rev-parse", "HEAD")
    git(source.directory, "clone", "--quiet", f"file://{source.bare}", "fresh")
    run.directory = source.directory / "fresh"
    text = run.prints("describe", "production", commit, build[1], **VARIABLES)
    assert f"no longer has {build[0]}" in text
