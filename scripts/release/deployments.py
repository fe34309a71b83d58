"""The branch that says which build each environment runs, and ran: one file an environment, one commit a deployment.

Only these programs write it, and only by fast-forward. Its history is kept: a build that staging has had is found in it.
"""

import contextlib
import os
import re
import tempfile
from pathlib import Path
from typing import NamedTuple

from common import Failure, access, git, log

# Others push a commit a deployment: to lose so many races in a row takes something else than a race.
ATTEMPTS = 5

FORM = """\
# Which build runs here. Written by the release pipeline, read after values.yaml.
image:
  tag: "{tag}"
  digest: "{digest}"
"""

READ = re.compile(re.escape(FORM).replace(r"\{tag\}", "([0-9a-f]{40})").replace(r"\{digest\}", "(sha256:[0-9a-f]{64})"))

README = """\
# What runs where

Written by `scripts/release/deploy` and `rollback` of the branch with the source, and by nobody else; read by Argo CD.
`gitops/ENVIRONMENT/shoutback/image.yaml` names the build that an environment runs: the tag is the commit that it was built of,
and of which the environment takes everything else, too.

`git log -- gitops/production` is the log of what ran in production.
"""


class Build(NamedTuple):
    tag: str
    digest: str

    def __str__(self):
        return f"{self.tag[:12]} ({self.digest[:19]}…)"


def path(environment):
    return f"gitops/{environment}/shoutback/image.yaml"


@contextlib.contextmanager
def deployments():
    """The branch, in a clone that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="deployments-") as directory:
        yield Deployments(directory)


class Deployments:
    def __init__(self, directory):
        self.directory = directory
        self.branch = os.environ.get("GITOPS_BRANCH") or "deploy"
        remote = os.environ.get("GITOPS_REMOTE") or "origin"
        self.url = git("remote", "get-url", remote) if remote in git("remote").splitlines() else remote
        self.tip = None
        self.git("init", "--quiet", f"--initial-branch={self.branch}")

    def git(self, *arguments, **options):
        return git(*arguments, directory=self.directory, variables=self._variables(), **options)

    def _variables(self):
        """Who commits, and what lets them push."""
        given = {
            "GIT_AUTHOR_NAME": "Release pipeline",
            "GIT_AUTHOR_EMAIL": "release-pipeline@users.noreply.github.com",
            "GIT_COMMITTER_NAME": "Release pipeline",
            "GIT_COMMITTER_EMAIL": "release-pipeline@users.noreply.github.com",
        }
        return {name: os.environ.get(name) or value for name, value in given.items()} | access(self.url, "GITOPS_TOKEN")

    def fetch(self):
        """The branch as it is now: `tip` is its last commit, or None where there is no branch yet."""
        found = self.git("ls-remote", "--heads", self.url, f"refs/heads/{self.branch}")
        self.tip = None
        if found:
            self.git("fetch", "--quiet", self.url, f"refs/heads/{self.branch}")
            self.tip = self.git("rev-parse", "FETCH_HEAD")
            self.git("checkout", "--quiet", "--force", "-B", self.branch, self.tip)

    def build(self, environment, commit=None):
        """What the environment runs as of `commit`, or of the tip; None before its first deployment."""
        commit = commit or self.tip
        if not commit or not self.git("ls-tree", commit, path(environment)):
            return None
        # Its last line break is no part of what `git` returns.
        text = self.git("show", f"{commit}:{path(environment)}") + "\n"
        read = READ.fullmatch(text)
        if not read:
            raise Failure(f"{path(environment)} in {commit} was not written by scripts/release/deploy:\n{text}")
        return Build(*read.groups())

    def before(self, environment, commit):
        """What the environment ran before `commit`; None if that is the branch's first, or before the first deployment."""
        parent = self.git("rev-parse", "--quiet", "--verify", f"{commit}^", succeeds=False).stdout.strip()
        return self.build(environment, parent) if parent else None

    def last(self, environment):
        """The commit by which the environment got what it has."""
        return self.git("log", "-1", "--format=%H", self.tip, "--", path(environment))

    def history(self, environment):
        """Every build that the environment has had, the newest first."""
        if self.tip:
            for commit in self.git("log", "--format=%H", self.tip, "--", path(environment)).splitlines():
                if build := self.build(environment, commit):
                    yield build

    def has(self, commit):
        """Whether the commit is one of the branch's."""
        return bool(self.tip) and self.git("merge-base", "--is-ancestor", commit, self.tip, succeeds=False).returncode == 0

    def subject(self, commit):
        return self.git("log", "-1", "--format=%h %s", commit)

    def write(self, environment, build, message):
        """Commits it; the commit is on no other machine until it is pushed."""
        file = Path(self.directory, path(environment))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(FORM.format(tag=build.tag, digest=build.digest))
        if not self.tip:
            Path(self.directory, "README.md").write_text(README)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD")

    def revert(self, commit):
        self.git("revert", "--no-edit", commit)
        return self.git("rev-parse", "HEAD")

    def push(self):
        """Whether the commits are there now; not if the branch has moved meanwhile."""
        pushed = self.git("push", self.url, f"HEAD:refs/heads/{self.branch}", succeeds=False)
        if pushed.returncode == 0:
            return True
        before = self.tip
        self.fetch()
        if self.tip == before:
            raise Failure(f"{self.branch} does not take the commit:\n{pushed.stderr.strip()}")
        log(f"{self.branch} has moved on meanwhile; deciding again")
        return False


def until_pushed(decide):
    """Calls `decide(deployments)` on the branch as it is now. That returns what to print and whether there is a commit to push; if
    the push comes too late, it decides again."""
    with deployments() as branch:
        for _ in range(ATTEMPTS):
            branch.fetch()
            printed, to_push = decide(branch)
            if not to_push or branch.push():
                return printed
        raise Failure(f"{branch.branch} moved on before each of {ATTEMPTS} pushes; nothing was deployed")
