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

PRODUCTION_VALUES = "gitops/production/shoutback/values.yaml"


class Stopped(Exception):
    """A step failed unexpectedly, or the approval was not given."""


class Testbed:
    """The repository, the fakes, and the clusters."""

    def __init__(self, stack, directory, said=lambda text: None):
        self.containers = stack.enter_context(Containers(folder(directory, "containers")))
        self.containers.make_base()
        self.registry = stack.enter_context(Registry(directory / "registry"))
        self.github = stack.enter_context(GitHub())
        self.source = Source(folder(directory, "source"))
        places = folder(directory, "environments")
        self.environments = {name: Environment(stack, name, places) for name in ("staging", "production")}
        repository = self.registry.repository
        self.clusters = stack.enter_context(
            Clusters(self.source, self.github, self.containers, repository, self.environments, said),
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
        self.headline(f"A pull request is merged: {title}")
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
            raise Stopped(f"{program} should {'fail' if fails else 'succeed'}, and ended with {done.returncode}")
        return done.stdout.strip()

    def left_out(self, what, program, why):
        self.number += 1
        print(f"\n{self.number:2}. {what}\n    LEFT OUT: scripts/release/{program}, {why}")

    def to_staging(self, run):
        """Runs the steps of the workflow `main`."""
        repository = self.testbed.registry.repository
        tag = self.step(run, "The commit is the image's tag", "tag")
        digest = self.step(run, "The image is built, once, and pushed", "publish", repository)
        self.left_out("The digest is signed", "sign", "for only a workflow of GitHub's gets a certificate of Sigstore's")
        self.step(run, "The registry keeps it", "keep", "staging", repository, tag, digest)
        commit = self.step(run, "Staging is to run it", "deploy", "staging", tag, digest)
        if commit:
            self.step(run, "Staging runs it", "wait", "staging", commit)
            environment = self.testbed.environments["staging"]
            self.step(run, "It does what it should", "integration-tests", "-q", **environment.variables)
        return tag, digest

    def to_production(self, run, tag, digest, bad=False):
        """Runs the steps of the workflow `promote`."""
        repository, environment = self.testbed.registry.repository, self.testbed.environments["production"]
        self.ask(f"{tag[:12]} may go to production")
        self.left_out("The signature is verified", "verify", "for there is none")
        self.step(run, "The registry keeps it", "keep", "production", repository, tag, digest)
        commit = self.step(run, "Production is to run the same digest", "deploy", "production", tag, digest)
        self.step(run, "Production runs it", "wait", "production", commit)
        smoke = ("integration-tests", "--smoke", "-q")
        if not bad:
            self.step(run, "It works there, too", *smoke, **environment.variables)
            return
        self.step(run, "It does not work there", *smoke, "--tb=no", fails=True, **environment.variables)
        back = self.step(run, "The deployment is reverted", "rollback", "production", commit)
        self.step(run, "Production runs what it ran before", "wait", "production", back)
        self.step(run, "Which works", *smoke, **environment.variables)

    def ask(self, what):
        self.number += 1
        print(f"\n{self.number:2}. A reviewer of the environment production says that {what}", flush=True)
        if self.approve or not sys.stdin.isatty():
            print("    approved, by " + ("--approve" if self.approve else "nobody, for there is no terminal to ask at"))
        elif input("    Do you? [y/N] ").strip().lower() not in ("y", "yes"):
            raise Stopped("nobody approved")

    def runs(self, environment):
        """Returns the version that an environment's container reports."""
        tag, _ = self.testbed.source.image(environment)
        image = self.testbed.environments[environment].running.image()
        return f"{environment} runs {image}, built of {tag}"


def main():
    parser = argparse.ArgumentParser(prog="scripts/pipeline-dry-run", description="From a merge to production, on one machine.")
    parser.add_argument("--approve", action="store_true", help="approve what a reviewer would be asked")
    arguments = parser.parse_args()

    def said(text):
        print(textwrap.indent(text, "      ~ "), flush=True)

    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory(prefix="dry-run-") as directory:
        print("A registry, a repository, GitHub, Argo CD and two clusters are set up …", flush=True)
        try:
            testbed = Testbed(stack, Path(directory), said)
            return walk(ReleaseRun(testbed, arguments.approve))
        except Stopped as stopped:
            print(f"\nStopped: {stopped}")
            return 1
        finally:
            # Before their folder is removed.
            stack.close()


def walk(walk):
    first = walk.merge("Say hello")
    release = walk.to_staging(first)
    walk.to_production(first, *release)

    # Only for production, so that no earlier step notices.
    values = {PRODUCTION_VALUES: lambda text: text.replace("\nconfig:\n", "\nconfig:\n  AUTH_REQUIRED_SCOPES: shoutback/whisper\n")}
    second = walk.merge("Ask for a scope in production that nobody has", values)
    walk.to_production(second, *walk.to_staging(second), bad=True)

    walk.headline("The first run is run again")
    walk.to_staging(first)

    walk.headline("What there is now")
    for environment in ("staging", "production"):
        print(f"    {walk.runs(environment)}")
    print("\n    $ git log --oneline deploy")
    print(textwrap.indent(git(walk.testbed.source.bare, "log", "--oneline", "deploy"), "      | "))
    print(f"\n{walk.number} steps in {time.monotonic() - walk.start:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
