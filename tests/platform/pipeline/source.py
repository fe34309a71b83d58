"""A bare repository, as on GitHub, with the content of this checkout; merges into it, and runs of the pipeline.

Its placeholders are those that are shipped, even if an adopter has filled them in.
"""

import os
import shutil
import subprocess
from pathlib import Path

from harness.git import git, listed
from harness.placeholders import restore
from harness.process import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[3]

# Replaces the real Dockerfile, whose build takes minutes: the base image has the service already.
DOCKERFILE = """\
ARG RUST_IMAGE=localhost/shoutback-built
FROM ${RUST_IMAGE}
ARG REVISION
ARG CREATED
ARG VERSION
LABEL org.opencontainers.image.revision="${REVISION}"
USER 65532:65532
ENTRYPOINT ["/shoutback"]
"""


class Source:
    def __init__(self, directory, only=()):
        """`only` limits the repository to these folders."""
        self.directory = directory
        self.bare = directory / "shoutback.git"
        self.work = directory / "work"
        self.runs = 0
        git(directory, "init", "--quiet", "--bare", "--initial-branch=main", self.bare)
        git(directory, "init", "--quiet", "--initial-branch=main", self.work)
        for name in listed(ROOT, *only):
            (self.work / name).parent.mkdir(parents=True, exist_ok=True)
            # The charts have symbolic links into observability/.
            shutil.copy2(ROOT / name, self.work / name, follow_symlinks=False)
        restore(self.work)
        (self.work / "Dockerfile").write_text(DOCKERFILE)
        git(self.work, "remote", "add", "origin", self.bare)
        self.commit("Begin")

    def commit(self, title):
        git(self.work, "add", "--all")
        git(self.work, "commit", "--quiet", "--allow-empty", "--message", title)
        git(self.work, "push", "--quiet", "origin", "main")
        return git(self.work, "rev-parse", "HEAD")

    def merge(self, title, changes=None):
        """Merges a pull request. `changes` maps files to functions that change their text."""
        git(self.work, "switch", "--quiet", "--create", "change")
        for name, change in (changes or {}).items():
            file = self.work / name
            file.write_text(change(file.read_text() if file.exists() else ""))
        git(self.work, "add", "--all")
        git(self.work, "commit", "--quiet", "--allow-empty", "--message", title)
        git(self.work, "switch", "--quiet", "main")
        git(self.work, "merge", "--quiet", "--no-ff", "--message", f"Merge: {title}", "change")
        git(self.work, "branch", "--quiet", "--delete", "change")
        git(self.work, "push", "--quiet", "origin", "main")
        return git(self.work, "rev-parse", "HEAD")

    def run(self, commit, variables=None):
        """Returns a run of the pipeline for that commit."""
        self.runs += 1
        return Run(self, self.directory / f"run-{self.runs}", commit, variables or {})

    def deployments(self, environment):
        """Returns the commits of an environment's branch, oldest first."""
        return git(self.bare, "log", "--reverse", "--format=%H", f"deploy/{environment}").split()

    def file(self, commit, name):
        return git(self.bare, "show", f"{commit}:{name}")

    def image(self, environment, commit=None):
        """Returns the content of an environment's image.yaml."""
        lines = self.file(commit or f"deploy/{environment}", f"gitops/service/{environment}/image.yaml").splitlines()
        fields = dict(line.strip().split(": ") for line in lines if ": " in line and not line.startswith("#"))
        return fields["tag"].strip('"'), fields["digest"].strip('"')


class Run:
    """A checkout in which programs of scripts/release run as in a workflow's job."""

    def __init__(self, source, directory, commit, variables):
        self.directory, self.variables = directory, variables
        git(source.directory, "clone", "--quiet", source.bare, directory)
        git(directory, "checkout", "--quiet", "--detach", commit)

    def __call__(self, program, *arguments, **variables):
        """Runs a program. Returns the completed process."""
        inherited = {name: os.environ[name] for name in ("HOME", "XDG_CACHE_HOME", "TMPDIR") if name in os.environ}
        return subprocess.run(
            [self.directory / "scripts/release" / program, *map(str, arguments)],
            cwd=self.directory,
            env=ENVIRONMENT | inherited | self.variables | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    def prints(self, program, *arguments, **variables):
        """Runs a program, which must succeed, and returns its output."""
        done = self(program, *arguments, **variables)
        assert done.returncode == 0, f"{program} {arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def error(self, program, *arguments, code=1, **variables):
        """Runs a program, which must fail, and returns its error messages."""
        done = self(program, *arguments, **variables)
        assert (done.returncode, done.stdout) == (code, ""), f"{program} {arguments}: {done}"
        return done.stderr
