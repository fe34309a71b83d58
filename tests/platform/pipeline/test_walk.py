"""`make pipeline-dry-run`, and a release that does not start."""

import contextlib
import os
import re
import subprocess

import pytest

from dry_run import PRODUCTION_VALUES, ReleaseRun, Testbed
from source import ROOT


@pytest.fixture(scope="module")
def testbed(tmp_path_factory):
    with contextlib.ExitStack() as stack:
        yield Testbed(stack, tmp_path_factory.mktemp("testbed"))


def test_the_dry_run():
    done = subprocess.run(
        [ROOT / "scripts/pipeline-dry-run", "--approve"], stdin=subprocess.DEVNULL, env=os.environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    programs = re.findall(r"^    \$ scripts/release/([./a-z-]+)", done.stdout, re.M)
    test = ["wait", "integration-tests", "wait"]
    published = ["tag", "../image", "publish", "attest", "deploy"]
    to_staging = [*published, *test, "record", "keep"]
    deployed = ["verify", "describe", "deploy"]
    to_production = [*deployed, *test, "keep"]
    undone = [*deployed, "wait", "integration-tests", "rollback", *test]
    back = ["rollback", *test, "history"]
    emergency = ["integration-tests", *["override", "override", "wait", "integration-tests"] * 2]
    assert programs == [*to_staging, *to_production, *to_staging, *undone, *(to_staging + to_production) * 2, *back * 2, *emergency, *published]
    # The repeated build is the same image only where the tool sets every timestamp; either way what was verified before stays.
    assert re.search("is there already|is another image", done.stdout) and "superseded, nothing is deployed" in done.stdout

    # Production is two steps back: the bad release was taken back, so the second step leads to the first one.
    tags = re.findall(r"^    main is ([0-9a-f]{40})$", done.stdout, re.M)
    assert len(tags) == 4
    assert re.search(rf"staging runs sha256:[0-9a-f]{{64}}, built of {tags[3]}", done.stdout)
    assert re.search(rf"production runs sha256:[0-9a-f]{{64}}, built of {tags[0]}", done.stdout)


def test_without_a_terminal_nothing_is_approved(testbed, monkeypatch):
    from dry_run import Stopped

    monkeypatch.setattr("sys.stdin", open("/dev/null"))
    with pytest.raises(Stopped, match="no terminal"):
        ReleaseRun(testbed, approve=False).request_approval("a deployment")


def release(testbed, title, changes=None):
    """Returns a run that has published an image, its tag and its digest."""
    run = testbed.run(testbed.source.merge(title, changes))
    repository = testbed.registry.repository
    return run, run.prints("tag"), run.prints("publish", repository, run.prints("../image", PUSH_TO=repository))


def test_a_release_that_does_not_start_fails_early(testbed):
    run, *good = release(testbed, "Say hello")
    for environment in ("staging", "production"):
        run.prints("wait", environment, run.prints("deploy", environment, *good))

    def misconfigure(text):
        return text.replace("\nconfig:\n", "\nconfig:\n  MAX_BODY_BYTES: plenty\n")

    run, *bad = release(testbed, "Mistype a value", {PRODUCTION_VALUES: misconfigure})
    run.prints("wait", "staging", run.prints("deploy", "staging", *bad))
    commit = run.prints("deploy", "production", *bad)
    assert "Degraded" in run.error("wait", "production", commit)
    # The previous release still runs, as in a rolling update.
    production = testbed.environments["production"]
    assert production.running.image() == good[1]
    run.prints("integration-tests", "--smoke", "-q", **production.variables)

    run.prints("wait", "production", run.prints("rollback", "production", "--undo", commit).split()[0])


def test_without_approval(testbed, monkeypatch):
    class Terminal:
        isatty = staticmethod(lambda: True)

    from dry_run import Stopped

    monkeypatch.setattr("sys.stdin", Terminal)
    monkeypatch.setattr("builtins.input", lambda _: "n")
    with pytest.raises(Stopped):
        ReleaseRun(testbed, approve=False).request_approval("a deployment")


def test_the_tests_require_an_address_and_credentials(testbed):
    run = testbed.run(testbed.source.merge("Change something"))
    variables = testbed.environments["staging"].variables
    assert "BASE_URL" in run.error("integration-tests", code=2, **variables | {"BASE_URL": ""})
    assert "CLIENT_SECRET" in run.error("integration-tests", code=2, **variables | {"CLIENT_SECRET": ""})
