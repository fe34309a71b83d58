"""The branch that records which build each environment runs: one file per environment, one commit per deployment.

Only these programs write it, and only by fast-forward. Its history shows which builds staging has had.
"""

import contextlib
import os
import re
import tempfile
from pathlib import Path
from typing import NamedTuple

from common import Failure, access, git, log

# Other deployments push one commit each, so losing this many races in a row has another cause.
ATTEMPTS = 5

TEMPLATE = """\
# Which build runs here. Written by the release pipeline, read after values.yaml.
image:
  tag: "{tag}"
  digest: "{digest}"
"""

PATTERN = re.compile(re.escape(TEMPLATE).replace(r"\{tag\}", "([0-9a-f]{40})").replace(r"\{digest\}", "(sha256:[0-9a-f]{64})"))

README = """\
# What runs where

Written only by `scripts/release/deploy` and `rollback` of the source branch; read by Argo CD.
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
    """Yields the branch in a temporary clone."""
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
        """Returns the environment of git: the committer and the credentials."""
        given = {
            "GIT_AUTHOR_NAME": "Release pipeline",
            "GIT_AUTHOR_EMAIL": "release-pipeline@users.noreply.github.com",
            "GIT_COMMITTER_NAME": "Release pipeline",
            "GIT_COMMITTER_EMAIL": "release-pipeline@users.noreply.github.com",
        }
        return {name: os.environ.get(name) or value for name, value in given.items()} | access(self.url, "GITOPS_TOKEN")

    def fetch(self):
        """Fetches the branch. `tip` is its last commit, or None if the branch does not exist yet."""
        found = self.git("ls-remote", "--heads", self.url, f"refs/heads/{self.branch}")
        self.tip = None
        if found:
            self.git("fetch", "--quiet", self.url, f"refs/heads/{self.branch}")
            self.tip = self.git("rev-parse", "FETCH_HEAD")
            self.git("checkout", "--quiet", "--force", "-B", self.branch, self.tip)

    def build(self, environment, commit=None):
        """Returns the environment's build as of `commit`, or of the tip; None before its first deployment."""
        commit = commit or self.tip
        if not commit or not self.git("ls-tree", commit, path(environment)):
            return None
        # `git` strips the trailing newline.
        text = self.git("show", f"{commit}:{path(environment)}") + "\n"
        read = PATTERN.fullmatch(text)
        if not read:
            raise Failure(f"{path(environment)} in {commit} was not written by scripts/release/deploy:\n{text}")
        return Build(*read.groups())

    def before(self, environment, commit):
        """Returns the environment's build before `commit`; None if there was none."""
        parent = self.git("rev-parse", "--quiet", "--verify", f"{commit}^", succeeds=False).stdout.strip()
        return self.build(environment, parent) if parent else None

    def last(self, environment):
        """Returns the commit of the environment's last deployment."""
        return self.git("log", "-1", "--format=%H", self.tip, "--", path(environment))

    def history(self, environment):
        """Yields every build that the environment has had, the newest first."""
        if self.tip:
            for commit in self.git("log", "--format=%H", self.tip, "--", path(environment)).splitlines():
                if build := self.build(environment, commit):
                    yield build

    def has(self, commit):
        """Returns whether the commit is on the branch."""
        return bool(self.tip) and self.git("merge-base", "--is-ancestor", commit, self.tip, succeeds=False).returncode == 0

    def subject(self, commit):
        return self.git("log", "-1", "--format=%h %s", commit)

    def write(self, environment, build, message):
        """Commits the build locally and returns the commit."""
        file = Path(self.directory, path(environment))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(TEMPLATE.format(tag=build.tag, digest=build.digest))
        if not self.tip:
            Path(self.directory, "README.md").write_text(README)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD")

    def revert(self, commit):
        self.git("revert", "--no-edit", commit)
        return self.git("rev-parse", "HEAD")

    def push(self):
        """Pushes the commits. Returns False if the branch has moved."""
        pushed = self.git("push", self.url, f"HEAD:refs/heads/{self.branch}", succeeds=False)
        if pushed.returncode == 0:
            return True
        before = self.tip
        self.fetch()
        if self.tip == before:
            raise Failure(f"{self.branch} rejected the commit:\n{pushed.stderr.strip()}")
        log(f"{self.branch} has moved on; retrying")
        return False


def until_pushed(decide):
    """Calls `decide(deployments)` on the current branch, which returns the output and whether there is a commit to push. Repeats if
    another push came first."""
    with deployments() as branch:
        for _ in range(ATTEMPTS):
            branch.fetch()
            printed, to_push = decide(branch)
            if not to_push or branch.push():
                return printed
        raise Failure(f"{branch.branch} moved on before each of {ATTEMPTS} pushes; nothing was deployed")
