"""The programs of workflows for GitHub's API and for Terraform's plans."""

import http.server
import json
import os
import re
import subprocess
import threading
import urllib.parse

import pytest
from workflows import TOP

from harness.git import git
from harness.process import GIT
from harness.terraform import environment

REPOSITORY, TOKEN = "example/shoutback", "ghs_test"
COMMIT = "a" * 40


class GitHub:
    """A fake of GitHub's REST API with comments, issues and releases."""

    def __init__(self):
        self.comments, self.issues, self.releases, self.changes = [], [], [], []
        github = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.respond(None)

            def do_POST(self):
                self.respond(json.loads(self.rfile.read(int(self.headers["content-length"]))))

            do_PATCH = do_POST

            def respond(self, body):
                path, _, query = self.path.partition("?")
                if self.headers["authorization"] != f"Bearer {TOKEN}":
                    status, document = 401, {"message": "Bad credentials"}
                else:
                    found = github.handle(self.command, path.removeprefix(f"/repos/{REPOSITORY}/"), dict(urllib.parse.parse_qsl(query)), body)
                    status, document = (404, {"message": "Not Found"}) if found is None else (200, found)
                text = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever).start()
        self.variables = {"GITHUB_API_URL": f"http://127.0.0.1:{self.server.server_port}", "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_TOKEN": TOKEN}

    def handle(self, method, path, query, body):
        if body is not None:
            self.changes.append((method, path, body))
        page = slice(100 * (int(query.get("page", 1)) - 1), 100 * int(query.get("page", 1)))
        if (method, path) == ("GET", "issues/7/comments"):
            return self.comments[page]
        if (method, path) == ("GET", "issues"):
            return [issue for issue in self.issues if issue["state"] == query["state"]][page]
        if (method, path) == ("GET", "releases"):
            return self.releases[page]
        if (method, path) == ("POST", "releases"):
            return body | {"html_url": f"https://github.com/{REPOSITORY}/releases/tag/{body['tag_name']}"}
        if method == "POST" and path in ("issues/7/comments", "issues"):
            return body | {"number": 12, "id": 1}
        if method == "PATCH" and re.fullmatch(r"issues/(comments/)?\d+", path):
            return body
        return None

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def github():
    github = GitHub()
    yield github
    github.close()


def run(program, *arguments, variables=None, stdin="", cwd=TOP):
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")} | (variables or {})
    return subprocess.run([TOP / "scripts" / program, *map(str, arguments)], cwd=cwd, env=environment, input=stdin, capture_output=True, text=True)


def comment(number, text, kind="Bot"):
    return {"id": number, "body": text, "user": {"type": kind}}


def test_a_comment_is_created_once_and_then_updated(github, tmp_path):
    file = tmp_path / "plan.md"
    file.write_text("Nothing to do.\n")
    assert run("github/comment", 7, "plan", file, variables=github.variables).returncode == 0
    [(method, path, body)] = github.changes
    assert (method, path) == ("POST", "issues/7/comments") and "Nothing to do." in body["body"]
    # The newest text replaces it, at any position in the list; other comments are not changed.
    github.comments = [comment(number, "hello") for number in range(150)]
    github.comments += [comment(500, body["body"], kind="User"), comment(501, "<!-- other -->\nx"), comment(502, body["body"])]
    file.write_text("Two to add.\n")
    assert run("github/comment", 7, "plan", file, variables=github.variables).returncode == 0
    method, path, body = github.changes[-1]
    assert (method, path) == ("PATCH", "issues/comments/502") and "Two to add." in body["body"]


def test_errors_of_github_are_reported(github, tmp_path):
    file = tmp_path / "plan.md"
    file.write_text("x")
    done = run("github/comment", 7, "plan", file, variables=github.variables | {"GITHUB_TOKEN": "wrong"})
    assert done.returncode == 1 and "401" in done.stderr and "wrong" not in done.stderr
    done = run("github/comment", 7, "plan", file, variables=github.variables | {"GITHUB_TOKEN": ""})
    assert done.returncode == 2 and "GITHUB_TOKEN" in done.stderr
    assert github.changes == []


def issue(number, title, kind="Bot"):
    return {"number": number, "title": title, "state": "open", "user": {"type": kind}}


def needs(**results):
    return json.dumps({name: {"result": result} for name, result in results.items()})


def test_an_issue_is_open_as_long_as_there_are_findings(github):
    bad = github.variables | {"MENTION": "@example/sre", "NEEDS": needs(images="failure", secrets="success", dependencies="cancelled", later="skipped")}
    assert run("github/issue", "--needs", "Audit", variables=bad).returncode == 0
    assert github.changes[-1][:2] == ("POST", "issues")
    text = github.changes[-1][2]["body"]
    assert text.endswith("@example/sre")
    assert "- images: failure" in text and "- dependencies: cancelled" in text and "secrets" not in text
    # It exists already: its text is updated, and there is no second one. An issue of a user with that title is not changed.
    github.issues = [issue(3, "Audit", kind="User"), issue(4, "Audit"), issue(5, "Other")]
    assert run("github/issue", "--needs", "Audit", variables=bad).returncode == 0
    assert github.changes[-1][:2] == ("PATCH", "issues/4") and "state" not in github.changes[-1][2]
    count = len(github.changes)
    good = github.variables | {"MENTION": "@example/sre", "NEEDS": needs(images="success", later="skipped")}
    assert run("github/issue", "--needs", "Audit", variables=good).returncode == 0
    assert [change[:2] for change in github.changes[count:]] == [("PATCH", "issues/4")]
    assert github.changes[-1][2]["state"] == "closed"


@pytest.mark.parametrize(
    ("results", "skippable", "code"),
    [
        ({"a": "success", "b": "success"}, [], 0),
        ({"a": "success", "b": "failure"}, [], 1),
        ({"a": "success", "b": "cancelled"}, ["b"], 1),
        ({"a": "success", "b": "skipped"}, [], 1),
        ({"a": "success", "b": "skipped"}, ["b"], 0),
        ({"a": "success", "b": "failure"}, ["b"], 1),
        ({"a": "success"}, ["c"], 2),
        ({}, [], 2),
    ],
)
def test_the_gate(results, skippable, code):
    arguments = ["--may-skip", *skippable] if skippable else []
    done = run("github/gate", *arguments, variables={"NEEDS": needs(**results)})
    assert done.returncode == code, done.stdout + done.stderr


def test_an_output_is_one_line_of_a_command_that_succeeded(tmp_path):
    file = tmp_path / "output"
    file.touch()
    given = {"GITHUB_OUTPUT": str(file)}
    assert run("github/output", "tag", "echo", "abc", variables=given).returncode == 0
    assert file.read_text() == "tag=abc\n"
    assert run("github/output", "tag", "false", variables=given).returncode != 0
    assert run("github/output", "tag", "printf", "a\nb=c\n", variables=given).returncode == 1
    assert run("github/output", "tag", variables=given).returncode == 2
    assert file.read_text() == "tag=abc\n"


@pytest.mark.parametrize(
    ("printed", "outputs"),
    [("abc\n", "commit=abc\nunchanged=\n"), ("abc unchanged\n", "commit=abc\nunchanged=unchanged\n"), ("", "commit=\nunchanged=\n"), ("a b c\n", None), ("a\nunchanged=\n", None)],
)
def test_several_outputs_are_the_words_of_a_line(tmp_path, printed, outputs):
    file = tmp_path / "output"
    file.touch()
    done = run("github/output", "commit unchanged", "printf", printed, variables={"GITHUB_OUTPUT": str(file)})
    assert (done.returncode == 0) == (outputs is not None)
    assert file.read_text() == (outputs or "")


def test_a_release_has_a_tag_and_notes(github, tmp_path):
    notes = tmp_path / "notes.md"
    notes.write_text("What changed\n")
    assert run("github/release", COMMIT, notes, variables=github.variables).returncode == 0
    [(method, path, body)] = github.changes
    assert (method, path, body["target_commitish"], body["body"]) == ("POST", "releases", COMMIT, "What changed\n")
    assert re.fullmatch(r"release-\d{4}-\d\d-\d\d-a{12}", body["tag_name"])
    # The same build is promoted again, another day.
    github.releases = [{"tag_name": f"release-2026-01-0{number % 9}-{number:012d}"} for number in range(150)] + [{"tag_name": "release-2026-01-01-aaaaaaaaaaaa"}]
    assert run("github/release", COMMIT, notes, variables=github.variables).returncode == 0
    assert len(github.changes) == 1


def test_coverage_has_a_row_per_part():
    def file(name, covered, count, package="/x"):
        return {"filename": f"{package}/src/{name}", "summary": {"lines": {"covered": covered, "count": count}}}

    files = [file("auth.rs", 5, 10), file("auth/jwks.rs", 10, 10), file("main.rs", 0, 0), file("auth.rs", 1, 4, "/x/emulators"), file("lib.rs", 4, 4, "/x/emulators"), {"filename": "/x/tests/a.rs", "summary": {}}]
    done = run("coverage-table", stdin=json.dumps({"data": [{"files": files}]}))
    assert "| auth | 20 | 75.0 % |" in done.stdout and "| emulators | 8 | 62.5 % |" in done.stdout and "| **all** | 28 | 71.4 % |" in done.stdout and "tests" not in done.stdout.partition("\n---")[2].partition("run by tests")[2]
    assert run("coverage-table", stdin='{"data": [{"files": []}]}').returncode != 0


@pytest.fixture
def checkout(tmp_path):
    """Returns a repository with the programs, a git history, and one of two environments set up."""
    for path in ("scripts/terraform", "scripts/github", "scripts/release/common.py"):
        subprocess.run(["cp", "--recursive", "--parents", path, tmp_path], cwd=TOP, check=True)
    for folder in ("environment", "bootstrap"):
        (tmp_path / "terraform" / folder).mkdir(parents=True)
        (tmp_path / "terraform" / folder / "main.tf").write_text("")
    for file, number in {"environment/staging": "444455556666", "environment/production": "111122223333", "bootstrap/bootstrap": "444455556666"}.items():
        values = f'account_id = "{number}"\nregion = "us-east-2"\n' if "bootstrap" in file else f'account = {{ id = "{number}", region = "us-east-2" }}\n'
        (tmp_path / f"terraform/{file}.tfvars").write_text(values)
        (tmp_path / f"terraform/{file}.s3.tfbackend").write_text(f'path = "{file.rpartition("/")[2]}.tfstate"\n')
    commit(tmp_path, "Begin", start=True)
    return tmp_path


def commit(folder, title, start=False):
    if start:
        git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", title)
    return git(folder, "rev-parse", "HEAD")


def inside(checkout, program, *arguments, variables=None):
    return subprocess.run([checkout / "scripts/terraform" / program, *map(str, arguments)], cwd=checkout, env=environment() | GIT | (variables or {}), capture_output=True, text=True)


@pytest.mark.parametrize(
    ("file", "environments"),
    [
        ("terraform/environment/staging.tfvars", '["staging"]'),
        ("terraform/environment/production.tfvars", "[]"),
        ("terraform/environment/production.s3.tfbackend", "[]"),
        ("terraform/environment/main.tf", '["staging"]'),
        ("terraform/environment/tests/environment.tftest.hcl", '["staging"]'),
        ("terraform/modules/eks/main.tf", '["staging","bootstrap"]'),
        ("observability/cloudwatch/dashboard.yaml", '["staging","bootstrap"]'),
        ("src/main.rs", "[]"),
        ("terraform/README.md", "[]"),
        ("terraform/bootstrap/main.tf", '["bootstrap"]'),
        ("terraform/bootstrap/bootstrap.tfvars", '["bootstrap"]'),
    ],
)
def test_environments_of_a_change(checkout, file, environments):
    base = commit(checkout, "Base")
    (checkout / file).parent.mkdir(parents=True, exist_ok=True)
    with (checkout / file).open("a") as changed:
        changed.write("# changed\n")
    commit(checkout, "Change")
    done = inside(checkout, "touched", base)
    assert done.stdout.strip() == environments, done.stderr
    # Production has the account of the examples, which is reported.
    if "production" in file or "modules" in file:
        assert "production is not set up" in done.stderr


def test_a_pull_request_plans_no_production(checkout):
    """Its plan reads the state, which has secrets."""
    (checkout / "terraform/environment/production.tfvars").write_text('account = { id = "222233334444", region = "us-east-2" }\n')
    assert inside(checkout, "touched", "--all").stdout.strip() == '["staging","production","bootstrap"]'
    assert inside(checkout, "touched", "--all", "staging").stdout.strip() == '["staging"]'


def test_without_a_base_all_environments_are_changed(checkout):
    assert inside(checkout, "touched", "--all").stdout.strip() == '["staging","bootstrap"]'
    assert inside(checkout, "touched", "0" * 40).stdout.strip() == '["staging","bootstrap"]'
    (checkout / "terraform/environment/production.tfvars").write_text('account = { id = "222233334444", region = "eu-west-1" }\n')
    (checkout / "terraform/environment/trial.tfvars").write_text('account = { id = "222233334444", region = "eu-west-1" }\n')
    assert inside(checkout, "touched", "--all").stdout.strip() == '["staging","production","bootstrap"]'


def test_environments_of_two_accounts_have_roles_of_their_own(checkout):
    """The recommended isolation: production in another account, and another region."""
    (checkout / "terraform/environment/production.tfvars").write_text(
        'environment = "production"\n# account = { id = "999999999999" }\naccount = {\n  id                  = "222233334444" # ours\n  region              = "cn-north-1"\n'
        '  registry_account_id = "444455556666"\n}\ncluster = { team_role_arns = { sre = ["arn:aws:iam::1:role/x"] } }\n'
    )
    (checkout / "terraform/bootstrap/bootstrap-production.tfvars").write_text('account_id = "222233334444"\nregion     = "cn-north-1"\n')
    printed = {(wanted, name): inside(checkout, "role", wanted, name).stdout.strip() for wanted in ("plan", "apply", "region") for name in ("staging", "production", "bootstrap-production")}
    assert printed["plan", "staging"] == "arn:aws:iam::444455556666:role/shoutback-staging-plan"
    assert printed["apply", "production"] == "arn:aws-cn:iam::222233334444:role/shoutback-production-apply"
    assert printed["plan", "bootstrap-production"] == "arn:aws-cn:iam::222233334444:role/shoutback-bootstrap-plan"
    assert [printed["region", name] for name in ("staging", "production", "bootstrap-production")] == ["us-east-2", "cn-north-1", "cn-north-1"]


@pytest.mark.parametrize("arguments", [["plan"], ["push", "staging"], ["plan", "nowhere"], ["plan", "../bootstrap"], ["region", "staging", "more"]])
def test_a_role_of_nothing_is_an_error(checkout, arguments):
    done = inside(checkout, "role", *arguments)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and not done.stdout


def test_values_without_an_account_are_an_error(checkout):
    (checkout / "terraform/environment/staging.tfvars").write_text('cluster = { id = "444455556666", region = "us-east-2" }\n')
    assert inside(checkout, "role", "plan", "staging").returncode == 2


CONFIGURATION = """
terraform {
  backend "local" {}
}
variable "account" {}
variable "page_subscriptions" { default = "none" }
resource "terraform_data" "one" { input = var.page_subscriptions }
"""


@pytest.fixture
def planned(checkout, tmp_path_factory):
    """Returns the checkout and a folder with the plan of staging, by the real Terraform, which needs no provider for it."""
    (checkout / "terraform/environment/main.tf").write_text(CONFIGURATION)
    folder = tmp_path_factory.mktemp("plans")
    done = inside(checkout, "plan", "staging", folder)
    assert done.returncode == 0, done.stderr
    return checkout, folder


def state(checkout):
    file = checkout / "terraform/environment/staging.tfstate"
    return json.loads(file.read_text())["resources"] if file.exists() else []


@pytest.mark.usefixtures("terraform")
class TestTerraform:
    def test_a_plan_has_a_text_and_a_fingerprint(self, planned):
        checkout, folder = planned
        assert sorted(path.name for path in folder.iterdir()) == ["staging.changes", "staging.fingerprint", "staging.md"]
        text = (folder / "staging.md").read_text()
        assert "Plan: 1 to add" in text and "terraform_data.one" in text
        assert inside(checkout, "changed", folder).stdout.strip() == '["staging"]'
        # Nothing was changed, and the plan file, which contains every secret, is removed.
        assert state(checkout) == [] and not list(checkout.rglob("*plan*.json"))

    def test_only_the_approved_plan_is_applied(self, planned):
        checkout, folder = planned
        done = inside(checkout, "apply", "staging", folder)
        assert done.returncode == 0, done.stderr
        [resource] = state(checkout)
        assert resource["instances"][0]["attributes"]["input"]["value"] == "none"
        # The same plan a second time would have another effect.
        assert inside(checkout, "apply", "staging", folder).returncode == 1
        done = inside(checkout, "plan", "staging", folder)
        assert "No changes." in (folder / "staging.md").read_text() and inside(checkout, "changed", folder).stdout.strip() == "[]"
        assert inside(checkout, "apply", "staging", folder).returncode == 0

    def test_a_changed_plan_is_not_applied(self, planned):
        checkout, folder = planned
        done = inside(checkout, "apply", "staging", folder, variables={"STAGING_TF_VAR_page_subscriptions": "other"})
        assert done.returncode == 1 and "not the plan that was approved" in done.stderr
        assert state(checkout) == []

    def test_an_environment_gets_only_its_variables(self, planned):
        checkout, folder = planned
        given = {"STAGING_TF_VAR_page_subscriptions": "mine", "PRODUCTION_TF_VAR_page_subscriptions": "theirs"}
        inside(checkout, "plan", "staging", folder, variables=given)
        assert inside(checkout, "apply", "staging", folder, variables=given).returncode == 0
        assert state(checkout)[0]["instances"][0]["attributes"]["input"]["value"] == "mine"

    def test_values_of_one_environment_never_meet_the_state_of_another(self, planned):
        """Both have one folder; each program has a data directory of its own."""
        checkout, folder = planned
        assert inside(checkout, "apply", "staging", folder).returncode == 0
        (checkout / "terraform/environment/production.tfvars").write_text('account = { id = "222233334444", region = "us-east-2" }\n')
        done = inside(checkout, "plan", "production", folder)
        assert done.returncode == 0, done.stderr
        assert "Plan: 1 to add" in (folder / "production.md").read_text()
        assert not (checkout / "terraform/environment/.terraform").exists()

    def test_a_lock_file_is_not_changed(self, planned):
        checkout, folder = planned
        lock = checkout / "terraform/environment/.terraform.lock.hcl"
        lock.write_text('provider "registry.terraform.io/hashicorp/null" {\n  version = "3.2.4"\n}\n')
        (checkout / "terraform/environment/versions.tf").write_text('terraform {\n  required_providers {\n    aws = { source = "hashicorp/aws" }\n  }\n}\n')
        done = inside(checkout, "plan", "staging", folder)
        assert done.returncode != 0 and "lock" in done.stderr
        assert "hashicorp/aws" not in lock.read_text()

    def test_the_bootstrap_is_planned_and_left_to_a_person(self, planned):
        checkout, folder = planned
        (checkout / "terraform/bootstrap/main.tf").write_text(CONFIGURATION.replace('variable "account" {}', 'variable "account_id" {}\nvariable "region" {}'))
        done = inside(checkout, "plan", "bootstrap", folder)
        assert done.returncode == 0, done.stderr
        assert "Plan: 1 to add" in (folder / "bootstrap.md").read_text()
        assert inside(checkout, "changed", folder).stdout.strip() == '["staging"]'

    def test_drift_is_an_issue_until_there_is_none(self, planned, github):
        checkout, folder = planned
        given = github.variables | {"NEEDS": needs(plan="success")}
        assert inside(checkout, "drift", folder, variables=given).returncode == 0
        assert github.changes[-1][:2] == ("POST", "issues") and "Plan: 1 to add" in github.changes[-1][2]["body"]
        inside(checkout, "apply", "staging", folder)
        inside(checkout, "plan", "staging", folder)
        github.issues = [issue(9, github.changes[-1][2]["title"])]
        # As long as it cannot be read, it is not gone.
        assert inside(checkout, "drift", folder, variables=given | {"NEEDS": needs(plan="failure", changed="skipped")}).returncode == 0
        assert github.changes[-1][:2] == ("PATCH", "issues/9") and "- plan: failure" in github.changes[-1][2]["body"]
        assert inside(checkout, "drift", folder, variables=given).returncode == 0
        assert github.changes[-1][:2] == ("PATCH", "issues/9") and github.changes[-1][2]["state"] == "closed"

    def test_errors_are_reported(self, checkout, tmp_path):
        assert "there is no terraform/environment/moon.tfvars" in inside(checkout, "plan", "moon", tmp_path).stderr
        done = inside(checkout, "plan", "production", tmp_path)
        assert done.returncode == 1 and "have the examples" in done.stderr
        assert inside(checkout, "plan").returncode == 2


def fingerprint(*changes, outputs=None):
    plan = {"resource_changes": list(changes), "output_changes": outputs or {}}
    return run("terraform/fingerprint", stdin=json.dumps(plan)).stdout


def change(address, after, action="create"):
    return {"address": address, "change": {"actions": [action], "before": None, "after": after}}


def test_a_fingerprint_depends_on_the_changes():
    one, two = change("a.one", {"x": 1}), change("a.two", {"x": 2})
    same = fingerprint(one, two)
    assert fingerprint(two, one) == same and re.fullmatch(r"[0-9a-f]{64}\n", same)
    assert fingerprint(one, two, change("a.three", {}, action="no-op")) == same
    different = [fingerprint(one), fingerprint(one, change("a.two", {"x": 3})), fingerprint(one, two | {"deposed": "abc"}), fingerprint(one, change("a.two", {"x": 2}, action="delete"))]
    different.append(fingerprint(one, two, outputs={"y": {"actions": ["update"], "after": 1}}))
    assert len({same, *different}) == 6
