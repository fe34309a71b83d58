"""Runs a release from the merge to production on this machine, including the approval, with every program of scripts/release.

See docs/release.md. git, the registry, the builds, the containers, the service and its tests are real; GitHub, Argo CD with its clusters,
and AWS are fakes.
"""

import argparse
import contextlib
import sys
import tempfile
import textwrap
import time
from pathlib import Path

from harness.git import git

from cluster import Clusters, Environment
from containers import Containers, Registry
from github import GitHub
from source import Source

PRODUCTION_VALUES = "gitops/service/production/values.yaml"


class Stopped(Exception):
    """A step failed unexpectedly, or the approval was not given."""


class Testbed:
    """The repository, the fakes, and the clusters."""

    def __init__(self, stack, directory, log=lambda text: None):
        self.containers = stack.enter_context(Containers(folder(directory, "containers")))
        self.containers.make_base()
        self.registry = stack.enter_context(Registry(directory / "registry"))
        self.github = stack.enter_context(GitHub())
        self.source = Source(folder(directory, "source"))
        directory_of_environments = folder(directory, "environments")
        self.environments = {name: Environment(stack, name, directory_of_environments) for name in ("staging", "production")}
        repository = self.registry.repository
        self.clusters = stack.enter_context(
            Clusters(self.source, self.github, self.containers, repository, self.environments, log),
        )

    def run(self, commit):
        """A run of the pipeline."""
        waits = {"WAIT_INTERVAL": "200ms", "WAIT_TIMEOUT": "2m"}
        return self.source.run(commit, self.containers.variables | self.github.variables | waits)


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

    def skip(self, what, program, why):
        self.number += 1
        print(f"\n{self.number:2}. {what}\n    SKIPPED: scripts/release/{program}, {why}")

    def to_staging(self, run):
        """Runs the steps of the workflow `main`."""
        repository = self.testbed.registry.repository
        tag = self.step(run, "Print the image tag of the commit", "tag")
        digest = self.step(run, "Build the image and push it", "publish", repository)
        self.skip("Sign the image", "sign", "because only GitHub's workflows get a certificate from Sigstore")
        self.step(run, "Mark the image as deployed", "keep", "staging", repository, tag, digest)
        commit = self.step(run, "Deploy to staging", "deploy", "staging", tag, digest)
        if commit:
            self.step(run, "Wait for staging", "wait", "staging", commit)
            environment = self.testbed.environments["staging"]
            self.step(run, "Run the integration tests", "integration-tests", "-q", **environment.variables)
        return tag, digest

    def to_production(self, run, tag, digest, bad=False):
        """Runs the steps of the workflow `promote`."""
        repository, environment = self.testbed.registry.repository, self.testbed.environments["production"]
        self.request_approval(f"deploying {tag[:12]} to production")
        self.skip("Verify the signature", "verify", "because there is none")
        self.step(run, "Mark the image as deployed", "keep", "production", repository, tag, digest)
        commit = self.step(run, "Deploy the same digest to production", "deploy", "production", tag, digest)
        self.step(run, "Wait for production", "wait", "production", commit)
        smoke = ("integration-tests", "--smoke", "-q")
        if not bad:
            self.step(run, "Run the smoke tests", *smoke, **environment.variables)
            return
        self.step(run, "Run the smoke tests, which fail", *smoke, "--tb=no", fails=True, **environment.variables)
        back = self.step(run, "Revert the deployment", "rollback", "production", commit)
        self.step(run, "Wait for production", "wait", "production", back)
        self.step(run, "Run the smoke tests", *smoke, **environment.variables)

    def request_approval(self, what):
        self.number += 1
        print(f"\n{self.number:2}. A reviewer of the environment production approves {what}", flush=True)
        if self.approve or not sys.stdin.isatty():
            print("    approved, by " + ("--approve" if self.approve else "default, because there is no terminal"))
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
        print("Setting up a registry, a repository, fakes of GitHub and Argo CD, and two clusters …", flush=True)
        try:
            testbed = Testbed(stack, Path(directory), log)
            return run_releases(ReleaseRun(testbed, arguments.approve))
        except Stopped as stopped:
            print(f"\nStopped: {stopped}")
            return 1
        finally:
            # Before their folder is removed.
            stack.close()


def run_releases(run):
    first = run.merge("Say hello")
    release = run.to_staging(first)
    run.to_production(first, *release)

    # Only for production, so that no earlier step notices.
    values = {PRODUCTION_VALUES: lambda text: text.replace("\nconfig:\n", "\nconfig:\n  AUTH_REQUIRED_SCOPES: shoutback/whisper\n")}
    second = run.merge("Require a scope in production that no client has", values)
    run.to_production(second, *run.to_staging(second), bad=True)

    run.headline("Repeat the first run")
    run.to_staging(first)

    run.headline("Result")
    for environment in ("staging", "production"):
        print(f"    {run.runs(environment)}")
    print("\n    $ git log --oneline deploy")
    print(textwrap.indent(git(run.testbed.source.bare, "log", "--oneline", "deploy"), "      | "))
    print(f"\n{run.number} steps in {time.monotonic() - run.start:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
