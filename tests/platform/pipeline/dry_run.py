"""Runs a release from the merge to production on this machine, including the approval, with every program of scripts/release.

See docs/release.md. git, the registry, the builds, the signatures (by a key of this machine), Argo CD with a control plane per environment, the
containers, the service and its tests are real; GitHub, the nodes, AWS and the scanner that reads an image's crates are fakes.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

from harness.git import git
from harness.process import ENVIRONMENT
from harness.registry import Registry

from cluster import Clusters, Environment
from containers import Containers
from github import GitHub
from live import LiveClusters
from source import Source

PRODUCTION_VALUES = "gitops/service/production/values.yaml"


class Stopped(Exception):
    """A step failed unexpectedly, or the approval was not given."""


# The service of the dry run is a debug build, which does not list its crates.
SYFT = """#!/usr/bin/env python3
import json, tomllib
packages = [{"SPDXID": f"SPDXRef-{number}", "name": crate["name"], "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
             "referenceLocator": f"pkg:cargo/{crate['name']}@{crate['version']}"}]} for number, crate in enumerate(tomllib.load(open("Cargo.lock", "rb"))["package"])]
print(json.dumps({"spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "name": "shoutback", "packages": packages}))
"""


class Testbed:
    """The repository, the fakes, and the clusters: `live` ones have the real Argo CD."""

    def __init__(self, stack, directory, log=lambda text: None, live=False):
        self.containers = stack.enter_context(Containers(folder(directory, "containers")))
        self.containers.make_base()
        self.registry = stack.enter_context(Registry(directory / "registry"))
        self.github = stack.enter_context(GitHub())
        self.source = Source(folder(directory, "source"))
        directory_of_environments = folder(directory, "environments")
        self.environments = {name: Environment(stack, name, directory_of_environments) for name in ("staging", "production")}
        self.signing = self.make_key(folder(directory, "key"))
        repository = self.registry.repository
        parts = self.source, self.github, self.containers, repository, self.environments, log
        self.clusters = stack.enter_context(LiveClusters(folder(directory, "clusters"), *parts) if live else Clusters(*parts))

    def make_key(self, directory):
        """Returns the variables by which the programs sign and verify here."""
        subprocess.run(["cosign", "generate-key-pair"], cwd=directory, env=ENVIRONMENT | {"COSIGN_PASSWORD": "", "HOME": str(directory)}, check=True, capture_output=True)
        (directory / "syft").write_text(SYFT)
        (directory / "syft").chmod(0o755)
        return {
            "COSIGN_PASSWORD": "",
            "SIGNING_KEY": str(directory / "cosign.key"),
            "VERIFICATION_KEY": str(directory / "cosign.pub"),
            "PATH": f"{directory}:{os.environ['PATH']}",
        }

    def run(self, commit):
        """A run of the pipeline."""
        others = {"WAIT_INTERVAL": "200ms", "WAIT_TIMEOUT": "5m", "GITHUB_RUN_ID": "1", "GITHUB_RUN_ATTEMPT": "1"}
        return self.source.run(commit, self.containers.variables | self.github.variables | others | self.signing)


def folder(directory, name):
    (directory / name).mkdir()
    return directory / name


class ReleaseRun:
    def __init__(self, testbed, approve):
        self.testbed, self.approve, self.number, self.start = testbed, approve, 0, time.monotonic()

    def headline(self, text):
        print(f"\n=== {text}", flush=True)

    def merge(self, title, changes=None):
        commit = self.testbed.source.merge(title, changes)
        self.headline(f"Merge a pull request: {title}")
        print(f"    main is {commit}")
        return self.testbed.run(commit)

    def step(self, run, what, program, *arguments, fails=False, **variables):
        """Runs a program as a job does, and shows its messages. Returns its output."""
        self.number += 1
        print(f"\n{self.number:2}. {what}\n    $ {' '.join(['scripts/release/' + program, *map(str, arguments)])}", flush=True)
        done = run(program, *arguments, **variables)
        shown = done.stderr + done.stdout
        print(textwrap.indent(shown.rstrip(), "      | "), flush=True)
        if fails != (done.returncode != 0):
            raise Stopped(f"{program} should {'fail' if fails else 'succeed'}, but ended with {done.returncode}")
        return done.stdout.strip()

    def to_staging(self, run):
        """Runs the steps of the workflow `main`."""
        repository = self.testbed.registry.repository
        tag = self.step(run, "Print the image tag of the commit", "tag")
        built = self.step(run, "Build the image and push it", "../image", PUSH_TO=repository)
        digest = self.step(run, "Publish what the build has reported", "publish", repository, built)
        image = f"{repository}@{digest}"
        self.step(run, "Sign it, and attest its provenance and its crates", "attest", image)
        deployment = self.step(run, "Deploy to staging", "deploy", "staging", tag, digest)
        if deployment:
            self.test(run, "staging", deployment)
            self.step(run, "Record that the tests have passed", "record", "staging", image, deployment)
            self.step(run, "Mark the image as deployed", "keep", "staging", repository, tag, digest)
        return tag, digest

    def test(self, run, environment, deployment, *options, fails=False):
        """Runs the steps of the workflow `tests`."""
        self.step(run, f"Wait for {environment}", "wait", environment, deployment)
        variables = self.testbed.environments[environment].variables
        what = f"Run the {'smoke' if options else 'integration'} tests"
        if fails:
            self.step(run, f"{what}, which fail", "integration-tests", *options, "-q", "--tb=no", fails=True, **variables)
        else:
            self.step(run, what, "integration-tests", *options, "-q", **variables)
            self.step(run, "It is still what the tests met", "wait", environment, deployment)

    def to_production(self, run, tag, bad=False):
        """Runs the steps of the workflow `promote`."""
        repository = self.testbed.registry.repository
        digest = self.step(run, "Verify who built and tested it", "verify", "--tested", repository, tag)
        self.step(run, "Describe what would change", "describe", "production", tag, digest)
        self.request_approval(f"deploying {tag[:12]} to production")
        deployment = self.step(run, "Deploy the same digest to production", "deploy", "production", tag, digest)
        self.test(run, "production", deployment, "--smoke", fails=bad)
        if bad:
            back = self.step(run, "Undo the deployment", "rollback", "production", "--undo", deployment).split()[0]
            self.test(run, "production", back, "--smoke")
        else:
            self.step(run, "Mark the image as deployed", "keep", "production", repository, tag, digest)

    def back(self, run):
        """Runs the steps of the workflow `rollback`."""
        self.test(run, "production", self.step(run, "Go one build back", "rollback", "production").split()[0], "--smoke")
        self.step(run, "Show what production can go back to", "history", "production")

    def emergency(self, run):
        """Runs the steps of the workflow `override`, twice: SHOUTCLOUD is down, and later it is back."""
        production = self.testbed.environments["production"]
        production.emulators.behave(failure_rate=1.0)
        self.step(run, "Run the smoke tests, which fail", "integration-tests", "--smoke", "-q", "--tb=no", fails=True, **production.variables)
        self.override(run, "set", "SHOUTCLOUD_FALLBACK=local", "SHOUTCLOUD is down")
        self.step(run, "Run the smoke tests", "integration-tests", "--smoke", "-q", **production.variables)
        production.emulators.behave()
        self.override(run, "remove", "SHOUTCLOUD_FALLBACK", "SHOUTCLOUD is back")
        self.step(run, "Run the smoke tests", "integration-tests", "--smoke", "-q", **production.variables)

    def override(self, run, action, variable, reason):
        deployment = self.step(run, f"Override: {reason}", "override", "production", action, variable, "--reason", reason)
        self.step(run, "List what is overridden", "override", "production", "list")
        self.step(run, "Wait for production", "wait", "production", deployment)

    def request_approval(self, what):
        self.number += 1
        print(f"\n{self.number:2}. A reviewer of the environment production approves {what}", flush=True)
        if self.approve:
            print("    approved, by --approve")
        elif not sys.stdin.isatty():
            raise Stopped("there is no terminal to ask for an approval; --approve approves without asking")
        elif input("    Approve? [y/N] ").strip().lower() not in ("y", "yes"):
            raise Stopped("the deployment was not approved")

    def runs(self, environment):
        """Returns the version that an environment's container reports."""
        tag, _ = self.testbed.source.image(environment)
        image = self.testbed.environments[environment].running.image()
        return f"{environment} runs {image}, built of {tag}"


def main():
    parser = argparse.ArgumentParser(prog="scripts/pipeline-dry-run", description="Runs a release from the merge to production on this machine.")
    parser.add_argument("--approve", action="store_true", help="approve without asking")
    arguments = parser.parse_args()

    def log(text):
        print(textwrap.indent(text, "      ~ "), flush=True)

    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory(prefix="dry-run-") as directory:
        print("Setting up a registry, a repository, a fake of GitHub, and for each environment a control plane with Argo CD …", flush=True)
        try:
            testbed = Testbed(stack, Path(directory), log, live=True)
            return run_releases(ReleaseRun(testbed, arguments.approve))
        except Stopped as stopped:
            print(f"\nStopped: {stopped}")
            return 1
        finally:
            # Before their folder is removed.
            stack.close()


def run_releases(run):
    first = run.merge("Say hello")
    tag, _ = run.to_staging(first)
    run.to_production(first, tag)

    # Only for production, so that no earlier step notices.
    values = {PRODUCTION_VALUES: lambda text: text.replace("\nconfig:\n", "\nconfig:\n  AUTH_REQUIRED_SCOPES: shoutback/whisper\n")}
    second = run.merge("Require a scope in production that no client has", values)
    bad, digest = run.to_staging(second)
    run.to_production(second, bad, bad=True)

    run.headline("Two more releases, and two steps back")
    mended = {PRODUCTION_VALUES: lambda text: text.replace("  AUTH_REQUIRED_SCOPES: shoutback/whisper\n", "")}
    for title, changes in (("Fix the scope", mended), ("Say goodbye", None)):
        latest = run.merge(title, changes)
        run.to_production(latest, run.to_staging(latest)[0])
    run.back(latest)
    run.back(latest)

    run.headline("SHOUTCLOUD fails: an emergency change of one variable, without a release")
    run.emergency(latest)

    run.headline("Repeat the first run, which is superseded")
    run.to_staging(first)

    run.headline("Result")
    for environment in ("staging", "production"):
        print(f"    {run.runs(environment)}")
    print("\n    $ git log --oneline deploy/production")
    print(textwrap.indent(git(run.testbed.source.bare, "log", "--oneline", "deploy/production"), "      | "))
    print(f"\n{run.number} steps in {time.monotonic() - run.start:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
