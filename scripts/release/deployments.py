"""The branches `deploy/ENVIRONMENT`, which record what each environment runs: a file for the service and one for the platform, whose
deployments and rollbacks are apart; one commit per deployment.

Only these programs write them, and only by fast-forward. Each environment has its own branch, so that GitHub can permit the key that
deploys to staging to push nothing of production.
"""

import contextlib
import functools
import os
import re
import tempfile
from pathlib import Path
from typing import NamedTuple

from common import Failure, access, git, log

# Other deployments push one commit each, so losing this many races in a row has another cause.
ATTEMPTS = 5

README = """\
# What {environment} runs

Written only by `scripts/release/deploy`, `rollback` and `override` of the branch main; read by Argo CD.

- `gitops/service/{environment}/image.yaml` names the build of the service: the tag is the commit that it was built of, and of which its
  chart and values are, too.
- `gitops/service/{environment}/overrides.yaml` has values that replace those of any build.
- `gitops/platform/{environment}/commit.yaml` names the commit of the add-ons.

`git log -- gitops/service` is the log of what ran here.
"""


OVERRIDES = "# Values that replace those of every build until they are removed. Written by scripts/release/override.\n"


class Build(NamedTuple):
    """A commit, and for the service the digest of the image that was built of it."""

    tag: str
    digest: str = ""

    def __str__(self):
        return f"{self.tag[:12]} ({self.digest[:19]}…)" if self.digest else self.tag[:12]


class Lifecycle(NamedTuple):
    name: str
    file: str
    template: str

    def path(self, environment):
        return f"gitops/{self.name}/{environment}/{self.file}.yaml"

    def read(self, text):
        """Returns the build of a file that `template` wrote, else None."""
        pattern = re.escape(self.template).replace(r"\{tag\}", "([0-9a-f]{40})").replace(r"\{digest\}", "(sha256:[0-9a-f]{64})")
        found = re.fullmatch(pattern, text)
        return Build(*found.groups()) if found else None


IMAGE = """\
# Which build runs here. Written by the release pipeline, read after values.yaml.
image:
  tag: "{tag}"
  digest: "{digest}"
"""
SERVICE = Lifecycle("service", "image", IMAGE)
PLATFORM = Lifecycle("platform", "commit", '# Of which commit the add-ons are. Written by the release pipeline.\ncommit: "{tag}"\n')


def lifecycle(arguments):
    """Adds the option --platform; `given.lifecycle` is the result."""
    what = "the platform (the add-ons) instead of the service"
    arguments.add_argument("--platform", dest="lifecycle", action="store_const", const=PLATFORM, default=SERVICE, help=what)


@contextlib.contextmanager
def deployments(environment, lifecycle=SERVICE):
    """Yields the branch in a temporary clone."""
    with tempfile.TemporaryDirectory(prefix="deployments-") as directory:
        yield Deployments(directory, environment, lifecycle)


class Deployments:
    def __init__(self, directory, environment, lifecycle):
        self.directory, self.environment, self.lifecycle = directory, environment, lifecycle
        self.path = lifecycle.path(environment)
        self.branch = f"deploy/{environment}"
        remote = os.environ.get("GITOPS_REMOTE") or "origin"
        self.url = git("remote", "get-url", remote) if remote in git("remote").splitlines() else remote
        if not re.match(r"[\w+.-]+:", self.url):
            # The clone is in another directory.
            self.url = str(Path(self.url).resolve())
        self.tip = None
        self.git("init", "--quiet", f"--initial-branch={self.branch}")

    def git(self, *arguments, **options):
        return git(*arguments, directory=self.directory, variables=self._variables(), **options)

    def _variables(self):
        """Returns the environment of git: the committer and the credentials."""
        pipeline = "Release pipeline", "release-pipeline@users.noreply.github.com"
        name, email = (actor, "") if (actor := os.environ.get("GITHUB_ACTOR")) else by_hand()
        given = {
            "GIT_AUTHOR_NAME": name or pipeline[0],
            "GIT_AUTHOR_EMAIL": email or pipeline[1],
            "GIT_COMMITTER_NAME": pipeline[0],
            "GIT_COMMITTER_EMAIL": pipeline[1],
        }
        return {name: os.environ.get(name) or value for name, value in given.items()} | access(self.url, "GITOPS_TOKEN", "GITHUB_TOKEN")

    def fetch(self):
        """Fetches the branch. `tip` is its last commit, or None if the branch does not exist yet."""
        found = self.git("ls-remote", "--heads", self.url, f"refs/heads/{self.branch}")
        self.tip = None
        if found:
            self.git("fetch", "--quiet", self.url, f"refs/heads/{self.branch}")
            self.tip = self.git("rev-parse", "FETCH_HEAD")
            self.git("checkout", "--quiet", "--force", "-B", self.branch, self.tip)

    def build(self, commit=None):
        """Returns the build as of `commit`, or of the tip; None before the first deployment."""
        text = self.show(self.path, commit)
        if text is None:
            return None
        if not (read := self.lifecycle.read(text)):
            raise Failure(f"{self.path} in {commit or self.tip} was not written by scripts/release/deploy:\n{text}")
        return read

    def show(self, path, commit=None):
        """Returns the content of a file; None if it does not exist."""
        commit = commit or self.tip
        if not commit or not self.git("ls-tree", commit, path):
            return None
        # `git` strips the trailing newline.
        return self.git("show", f"{commit}:{path}") + "\n"

    def commits(self, since=None):
        """Returns the commits that changed the build, the newest first; with `since`, only those after it."""
        if not self.tip:
            return []
        return self.git("log", "--format=%H", f"{since}..{self.tip}" if since else self.tip, "--", self.path).splitlines()

    def last(self):
        """Returns the commit of the last deployment."""
        return self.commits()[0]

    def kept(self):
        """Returns the builds to which a rollback may go, the oldest first and the current one last.

        A deployment adds its build. A rollback takes back all builds after the one that it returns to, and these are not in the list
        until they are deployed again.
        """
        kept = []
        for commit in reversed(self.commits()):
            build = self.build(commit)
            kept = kept[: kept.index(build) + 1] if build in kept else [*kept, build]
        return kept

    def has(self, commit):
        """Returns whether the commit is on the branch."""
        return bool(self.tip) and self.git("merge-base", "--is-ancestor", commit, self.tip, succeeds=False).returncode == 0

    def subject(self, commit):
        return self.git("log", "-1", "--format=%h %s", commit)

    def write(self, build, subject, *paragraphs):
        """Commits the build locally and returns the commit."""
        lines = [f"Commit: {build.tag}", *([f"Image: {build.digest}"] if build.digest else []), *origin()]
        text = self.lifecycle.template.format(tag=build.tag, digest=build.digest)
        return self.commit(self.path, text, "\n\n".join([subject, *paragraphs, "\n".join(lines)]))

    def commit(self, path, text, message):
        """Commits the content of a file locally, and returns the commit."""
        # Argo CD deploys the service only if this file exists, too.
        overrides = Path(self.directory, f"gitops/service/{self.environment}/overrides.yaml")
        overrides.parent.mkdir(parents=True, exist_ok=True)
        if not overrides.exists():
            overrides.write_text(OVERRIDES)
        file = Path(self.directory, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        Path(self.directory, "README.md").write_text(README.format(environment=self.environment))
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
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


def origin():
    """Returns trailers that name the person and the run that made a commit."""
    actor, run = os.environ.get("GITHUB_ACTOR") or by_hand()[1], os.environ.get("GITHUB_RUN_ID")
    server, repository = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_REPOSITORY")
    return [*([f"Actor: {actor}"] if actor else []), *([f"Pipeline: {server}/{repository}/actions/runs/{run}"] if run else [])]


@functools.cache
def by_hand():
    """Returns name and email of git's configuration, empty on GitHub's runners, where GITHUB_ACTOR is the person."""
    return tuple(git("config", f"user.{part}", succeeds=False).stdout.strip() for part in ("name", "email"))


def until_pushed(decide, environment, lifecycle=SERVICE):
    """Calls `decide(deployments)` on the current branch, which returns the output and whether there is a commit to push. Repeats if
    another push came first."""
    with deployments(environment, lifecycle) as branch:
        for _ in range(ATTEMPTS):
            branch.fetch()
            printed, to_push = decide(branch)
            if not to_push or branch.push():
                return printed
        raise Failure(f"{branch.branch} moved on before each of {ATTEMPTS} pushes; nothing was deployed")
