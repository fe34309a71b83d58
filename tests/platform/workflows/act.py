"""Runs workflows by nektos/act on this machine, as an ordinary user, from a repository that belongs to that user.

The programs, git, the registry, crane, cosign and helm are real. Stand-ins: actions that need GitHub (actions/), GitHub's API, the commands `aws`
and `docker`, the scanners, and the integration tests, which the suites `integration` and `release-walk` run. act knows no permissions,
environments, approvals and concurrency, which test_rules.py checks. It ends a run as soon as a called workflow fails, before the jobs that
come after a failure, so the job of tests.yml is copied to where it is called; of main.yml, which calls staging.yml, these jobs do not run.
"""

import contextlib
import http.server
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

from workflows import TOP

from harness.git import listed

ACTIONS = Path(__file__).resolve().parent / "actions"
REPOSITORY = "example/shoutback"
USER = 12345

# The App by which Argo CD reports.
ARGO_CD = "shoutback-argocd[bot]"

COMMANDS = {
    "aws": "echo password",
    # Builds nothing: pushes an image, and reports its digest as buildx does.
    "docker": """[[ $1 == buildx ]] || { cat >/dev/null; exit; }
[[ ! -e $STATE/broken-build ]]
while (($# > 0)); do [[ $1 != --metadata-file ]] || metadata=$2; shift; done
architecture=${ARCHITECTURE:-amd64}
name=$PUSH_TO:build-$architecture
crane append --insecure --oci-empty-base --new_layer /dev/null --new_tag "$name" >/dev/null
pushed=$(crane mutate --insecure "$name" --label "commit=$(git rev-parse HEAD)" --set-platform "linux/$architecture" --tag "$name")
printf '{\\n  "containerimage.digest": "%s"\\n}\\n' "${pushed#*@}" >"$metadata" """,
    "syft": """echo '{"spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "packages": [{"externalRefs": [{"referenceLocator": "pkg:cargo/tokio@1.0.0"}]}]}'""",
    "grype": '[[ ! -e $STATE/vulnerable ]] || { echo "CVE-2026-0001 in $1"; exit 1; }',
}

# All that the jobs read.
COPIED = [".github", "scripts", "tests/suites.toml", "terraform", "gitops", "helm", "observability", "docs/configuration.md", "CHANGELOG.md", "Cargo.toml", "Cargo.lock", "Dockerfile", "Makefile", ".gitignore"]

FILLED = {"CLIENT_IDS": "1example23456789,2example23456789", "PUBLIC_CLIENT_ID": "2example23456789", "USER_POOL_ID": "eu-central-1_AbCdEfGhI"}

SUITES = """#!/usr/bin/env bash
set -euo pipefail
echo "${ROOT:-} $*" >>"$STATE/suites"
for suite in $*; do [[ ! -e $STATE/broken-$suite ]]; done
"""

# Notes what it was given, and fails if the test wants it to.
INTEGRATION_TESTS = """#!/usr/bin/env bash
set -euo pipefail
echo "$ENVIRONMENT $*" >>"$STATE/tested"
env | grep -E '^(GITHUB|GITOPS|GH)_TOKEN=|PRIVATE_KEY|^ACTIONS_ID' >>"$STATE/tokens" || true
git rev-parse HEAD >>"$STATE/tests-of"
[[ -n $BASE_URL && -n $TOKEN_URL && -n $CLIENT_ID && -n $CLIENT_SECRET ]]
[[ ! -e $STATE/broken-$ENVIRONMENT ]]
[[ ! -e $STATE/broken-once ]] || { rm "$STATE/broken-once"; exit 1; }
"""


def inlined(text, called):
    """Returns a workflow with the job of tests.yml in place of each call of it."""
    job = re.sub(r"    name: .*\n|    permissions:\n(?:      .*\n)+", "", called.partition("\n  tests:\n")[2])

    def copy(call):
        given = {"commit": "${{ github.sha }}"} | dict(re.findall(r"^      (\w+): (.*)$", call[1], re.M))
        smoke = "'true'" if "smoke" in given else "''"
        return re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda name: given[name[1]], job.replace("${{ inputs.smoke && 'true' || '' }}", smoke))

    return re.sub(r"    uses: \./\.github/workflows/tests\.yml.*\n    with:\n((?:      .*\n)+)    secrets: .*\n", copy, text)


class GitHub:
    """A fake of GitHub's API, and of Argo CD behind it."""

    def __init__(self):
        self.issues, self.releases, self.comments = [], [], []
        self.state = {"staging": "success", "production": "success"}
        self.creator = ARGO_CD
        self.reviewers = [{"type": "Team", "reviewer": {"slug": "sre"}}]
        github = self

        class Handler(http.server.BaseHTTPRequestHandler):
            wbufsize = -1

            def do_GET(self):
                length = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                text = json.dumps(github.respond(self.command, self.path, body)).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_POST = do_PATCH = do_GET

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever).start()

    def respond(self, method, path, body):
        path, _, query = path.partition("?")
        path = path.removeprefix(f"/repos/{REPOSITORY}/")
        first = not re.search(r"\bpage=([2-9]|\d\d)", query.replace("per_page=100", ""))
        if re.fullmatch(r"commits/[0-9a-f]{40}/statuses", path):
            contexts = {f"argocd/{name}{suffix}": state for name, state in self.state.items() for suffix in ("", "/platform")}
            status = {"created_at": "2026-11-29T00:00:00Z", "creator": {"login": self.creator}}
            return [{"context": name, "state": state} | status for name, state in contexts.items()]
        if path in ("environments/staging", "environments/production"):
            reviewed = self.reviewers and "production" in path
            rules = [{"type": "required_reviewers", "prevent_self_review": True, "reviewers": self.reviewers}] if reviewed else []
            return {"protection_rules": rules, "deployment_branch_policy": {"custom_branch_policies": True}}
        if path.endswith("deployment-branch-policies"):
            return {"branch_policies": [{"name": "main", "type": "branch"}]}
        for name in ("issues", "releases"):
            items = getattr(self, name)
            if path == name and method == "POST":
                items.append({"number": len(items) + 1, "state": "open", "user": {"type": "Bot"}, "html_url": "u"} | body)
                return items[-1]
            if path == name:
                return [item for item in items if item["state"] == "open"] if first else []
            if found := re.fullmatch(rf"{name}/(\d+)", path):
                items[int(found[1]) - 1] |= body
                return items[int(found[1]) - 1]
        if path.endswith("/comments"):
            self.comments += [body] if method == "POST" else []
            return body or []
        raise AssertionError(f"{method} {path}")

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def open_issues(self):
        return [issue["title"] for issue in self.issues if issue["state"] == "open"]


class Runner:
    """A repository, and a machine that runs its workflows."""

    def __init__(self, registry):
        self.directory = Path(tempfile.mkdtemp(prefix="act-", dir="/tmp"))
        self.work, self.bare, self.state = (self.directory / name for name in ("work", "origin.git", "state"))
        self.repository = f"{registry.host}/{self.directory.name.lower().replace('_', '-')}"
        self.github = GitHub()
        for name in ("work", "state", "home", "bin", "artifacts"):
            (self.directory / name).mkdir()
        for name, text in COMMANDS.items():
            (self.directory / "bin" / name).write_text(f"#!/usr/bin/env bash\nset -euo pipefail\n{text}\n")
            (self.directory / "bin" / name).chmod(0o755)
        # A user's programs may be in a home directory that others cannot read.
        for name in ("act", "crane", "cosign", "helm"):
            shutil.copy(shutil.which(name), self.directory / "bin" / name)
        shutil.copytree(ACTIONS, self.directory / "actions")
        for name in listed(TOP, *COPIED):
            (self.work / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TOP / name, self.work / name, follow_symlinks=False)
        for values in (self.work / "gitops/service").glob("*/values.yaml"):
            values.write_text(re.sub(r"REPLACE_WITH_([A-Z_]*[A-Z])", lambda name: FILLED.get(name[1], "example.com"), values.read_text()))
        for workflow in (self.work / ".github/workflows").glob("*.yml"):
            # Unknown to act's schema.
            text = re.sub(r"^ +queue: max.*\n", "", workflow.read_text(), flags=re.M)
            workflow.write_text(inlined(text, (TOP / ".github/workflows/tests.yml").read_text()))
        (self.work / "scripts/release/integration-tests").write_text(INTEGRATION_TESTS)
        for name in ("scripts/github/test", "scripts/secrets", "scripts/check"):
            (self.work / name).write_text(SUITES)
        self.own()
        self.run("cosign", "generate-key-pair", cwd=self.directory / "home", check=True)
        self.git("init", "--quiet", "--bare", "--initial-branch=main", self.bare)
        self.git("-C", self.bare, "config", "uploadpack.allowAnySHA1InWant", "true")
        self.git("-C", self.work, "init", "--quiet", "--initial-branch=main")
        self.git("-C", self.work, "remote", "add", "origin", self.bare)
        self.merge("Begin")

    def own(self):
        if os.geteuid() == 0:
            subprocess.run(["chown", "--recursive", f"{USER}:{USER}", self.directory], check=True)
            self.directory.chmod(0o755)

    def close(self):
        self.github.close()
        shutil.rmtree(self.directory)

    def run(self, *command, cwd=None, check=False, timeout=570, **variables):
        environment = {
            # Debian's Python is there for every user.
            "PATH": f"{self.directory}/bin:/usr/local/bin:/usr/bin:/bin",
            "HOME": f"{self.directory}/home",
            "STATE": str(self.state),
            "COSIGN_PASSWORD": "",
            **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (("NAME", "Test"), ("EMAIL", "test@example.com"))},
        }
        user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"] if os.geteuid() == 0 else []
        done = subprocess.run(
            [*user, *map(str, command)], cwd=cwd or self.directory, env=environment | variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def git(self, *arguments):
        return self.run("git", *arguments, check=True).stdout.strip()

    def merge(self, title):
        self.git("-C", self.work, "add", "--all")
        self.git("-C", self.work, "commit", "--quiet", "--allow-empty", "--message", title)
        self.git("-C", self.work, "push", "--quiet", "origin", "main")
        return self.git("-C", self.work, "rev-parse", "HEAD")

    def image(self, environment):
        """Returns the commit that an environment runs, or None."""
        return self.recorded(environment, f"gitops/service/{environment}/image.yaml", r'tag: "(\w+)"')

    def platform(self, environment):
        """Returns the commit of an environment's add-ons, or None."""
        return self.recorded(environment, f"gitops/platform/{environment}/commit.yaml", r'commit: "(\w+)"')

    def recorded(self, environment, file, pattern):
        done = self.run("git", "-C", self.bare, "show", f"deploy/{environment}:{file}")
        found = re.search(pattern, done.stdout)
        return found[1] if found else None

    def notes(self, name):
        """Returns the lines that a stand-in has written since the last call."""
        file = self.state / name
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines

    @contextlib.contextmanager
    def broken(self, what, used=False):
        """Something fails meanwhile; with `used` once, which has to happen."""
        file = self.state / what
        file.touch()
        # A step deletes it.
        self.own()
        yield
        assert file.exists() != used
        file.unlink(missing_ok=True)

    def workflow(self, name, event, payload=None, job=None, **inputs):
        """Runs a workflow of the checkout."""
        shutil.rmtree(self.directory / "artifacts")
        (self.directory / "artifacts").mkdir()
        event_file = self.directory / "event.json"
        repository = {"full_name": REPOSITORY, "name": "shoutback", "owner": {"login": "example"}, "default_branch": "main", "private": True}
        event_file.write_text(json.dumps({"ref": "refs/heads/main", "repository": repository, "inputs": inputs} | (payload or {})))
        self.own()
        options = ["--no-cache-server", "--no-skip-checkout", "--pull=false", "--actor", "ada"]
        for runner in ("ubuntu-24.04", "ubuntu-24.04-arm"):
            options += ["-P", f"{runner}=-self-hosted"]
        texts = "".join(path.read_text() for path in (self.work / ".github/workflows").glob("*.yml"))
        for used in sorted(set(re.findall(r"uses: +([\w.-]+/[\w-]+)(?:/[\w/-]+)?(@\w+)", texts))):
            used = "".join(used)
            stand_in = self.directory / "actions" / used.partition("@")[0].split("/")[1]
            options += ["--local-repository", f"{used}={stand_in if stand_in.is_dir() else self.directory / 'actions/nothing'}"]
        variables = {
            "ARGO_CD_APP_LOGIN": ARGO_CD,
            "AWS_REGION": "us-east-2",
            "ECR_REPOSITORY": self.repository,
            "PULL_ROLE_ARN": "pull",
            "PUSH_ROLE_ARN": "push",
            "BASE_URL": "http://127.0.0.1:1",
            "TOKEN_URL": "http://127.0.0.1:1",
            "CLIENT_ID": "client",
            "GITOPS_APP_CLIENT_ID": "app",
        }
        secrets = {"CLIENT_SECRET": "of-the-client", "GITOPS_APP_PRIVATE_KEY": "of-the-app", "GITHUB_TOKEN": "ghs_test"}
        environment = {
            "ACT_ORIGIN": self.bare,
            "ACT_ARTIFACTS": self.directory / "artifacts",
            "STATE": self.state,
            "GITHUB_API_URL": self.github.url,
            "GITHUB_REPOSITORY": REPOSITORY,
            "SIGNING_KEY": self.directory / "home/cosign.key",
            "VERIFICATION_KEY": self.directory / "home/cosign.pub",
            "COSIGN_PASSWORD": "",
            "WAIT_INTERVAL": "100ms",
            "WAIT_TIMEOUT": "20s",
        }
        for option, values in (("--var", variables), ("--secret", secrets), ("--env", environment), ("--input", inputs)):
            for key, value in values.items():
                options += [option, f"{key}={value}"]
        only = ["--job", job] if job else []
        return Result(self.run("act", event, "-C", self.work, "-W", f".github/workflows/{name}", "-e", event_file, *only, *options))


class Result:
    def __init__(self, done):
        self.succeeded = done.returncode == 0
        self.output = done.stdout + done.stderr

    @property
    def log(self):
        """Returns what the steps printed, and which failed."""
        return "\n".join(line for line in self.output.splitlines() if "  | " in line or "❌" in line or "🏁" in line or line.startswith("Error"))
