"""scripts/github/settings, against a fake of GitHub that stores what it is given as GitHub does."""

import copy
import http.server
import json
import os
import re
import subprocess
import threading
import tomllib
import urllib.parse

import pytest
from workflows import TOP, read

REPOSITORY, TOKEN = "acme/shouting", "ghp_admin"
WANTED = tomllib.loads((TOP / ".github/settings.toml").read_text())
APPS = ("--staging-app", 11, "--production-app", 22)


class GitHub:
    """Environments, rulesets, teams, variables and secrets of one repository."""

    def __init__(self, reviewers_allowed=True):
        self.environments, self.rulesets, self.policies = {}, {}, {}
        self.variables, self.secrets = {}, {}
        self.reviewers_allowed = reviewers_allowed
        self.writes = []
        github = self

        class Handler(http.server.BaseHTTPRequestHandler):
            # Head and body in one packet.
            wbufsize = -1

            def handle_request(self):
                length = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                path, _, query = self.path.partition("?")
                if self.headers["authorization"] != f"Bearer {TOKEN}":
                    status, document = 401, {"message": "Bad credentials"}
                else:
                    status, document = github.respond(self.command, path, body, dict(urllib.parse.parse_qsl(query)).get("page", "1") == "1")
                text = b"" if status == 204 else json.dumps(document).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = do_DELETE = handle_request

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever).start()

    def respond(self, method, path, body, first_page):
        if method != "GET":
            self.writes.append((method, path))
        if found := re.fullmatch(r"/orgs/acme/teams/([\w-]+)", path):
            return (200, {"id": 5, "slug": "sre"}) if found[1] == "sre" else (404, {})
        path = path.removeprefix(f"/repos/{REPOSITORY}/")
        if found := re.fullmatch(r"environments/([\w-]+)", path):
            return self.environment(method, found[1], body)
        if found := re.fullmatch(r"environments/([\w-]+)/deployment-branch-policies(?:/(\d+))?", path):
            policies = self.policies.setdefault(found[1], [])
            if method == "POST":
                policies.append(body | {"id": len(self.writes)})
            elif method == "DELETE":
                policies[:] = [policy for policy in policies if policy["id"] != int(found[2])]
                return 204, None
            return 200, {"branch_policies": policies}
        if found := re.fullmatch(r"(?:environments/([\w-]+)|actions)/(variables|secrets)", path):
            names = getattr(self, found[2]).get(found[1] or "", []) if first_page else []
            return 200, {found[2]: [{"name": name} for name in names]}
        if path == "actions/organization-secrets" and "organisation" in self.secrets:
            return 200, {"secrets": [{"name": name} for name in self.secrets["organisation"] if first_page]}
        if found := re.fullmatch(r"rulesets(?:/(\d+))?", path):
            if method == "GET" and not found[1]:
                return 200, [{"id": number, "name": ruleset["name"]} for number, ruleset in self.rulesets.items()] if first_page else []
            number = int(found[1] or len(self.rulesets) + 1)
            if method != "GET":
                # GitHub adds its defaults.
                self.rulesets[number] = {"id": number, "source": REPOSITORY} | copy.deepcopy(body)
                for rule in self.rulesets[number]["rules"]:
                    rule.get("parameters", {}).setdefault("do_not_enforce_on_create", False)
            return 200, self.rulesets[number]
        return 404, {"message": "Not Found"}

    def environment(self, method, name, body):
        if method == "PUT":
            if body["reviewers"] and not self.reviewers_allowed:
                return 422, {"message": "Failed to create the environment protection rule. Please ensure the billing plan supports it."}
            rules = [{"type": "branch_policy"}]
            if body["reviewers"]:
                reviewers = [{"type": reviewer["type"], "reviewer": {"id": reviewer["id"], "slug": "sre"}} for reviewer in body["reviewers"]]
                rules.append({"type": "required_reviewers", "prevent_self_review": body["prevent_self_review"], "reviewers": reviewers})
            self.environments[name] = {"name": name, "protection_rules": rules, "deployment_branch_policy": body["deployment_branch_policy"]}
        return (200, self.environments[name]) if name in self.environments else (404, {"message": "Not Found"})

    def fill(self):
        """Adds every variable and secret."""
        for name, wanted in {"": WANTED, **WANTED["environment"]}.items():
            self.variables[name], self.secrets[name] = list(wanted.get("variables", [])), list(wanted.get("secrets", []))

    def __call__(self, *arguments, token=TOKEN):
        variables = {"GITHUB_API_URL": f"http://127.0.0.1:{self.server.server_port}", "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_TOKEN": token}
        command = [TOP / "scripts/github/settings", *map(str, arguments)]
        return subprocess.run(command, env={"PATH": os.environ["PATH"]} | variables, capture_output=True, text=True)


    def state(self):
        return self.environments, self.policies, self.rulesets

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def github():
    github = GitHub()
    github.fill()
    yield github
    github.close()


@pytest.fixture(scope="module")
def applied():
    """Returns what `apply` makes of nothing."""
    github = GitHub()
    github.fill()
    done = github("apply", *APPS)
    github.close()
    assert done.returncode == 0, done.stderr
    return github.state()


@pytest.fixture
def ready(github, applied):
    github.environments, github.policies, github.rulesets = copy.deepcopy(applied)
    return github


def test_nothing_is_there_yet(github):
    done = github("verify", *APPS)
    assert done.returncode == 1
    for name in WANTED["environment"]:
        assert f"there is no environment {name}" in done.stderr
    for name in WANTED["ruleset"]:
        assert f"there is no ruleset {name}" in done.stderr
    assert github.writes == []


def test_what_was_applied_verifies_and_again_changes_nothing(ready):
    before = copy.deepcopy(ready.state())
    assert ready("verify", *APPS).returncode == 0
    assert ready("apply", *APPS).returncode == 0
    assert ready.state() == before


def ruleset(github, name):
    return next(ruleset for ruleset in github.rulesets.values() if ruleset["name"] == name)


def test_only_its_app_pushes_what_an_environment_runs(ready):
    for environment, app in (("staging", 11), ("production", 22)):
        found = ruleset(ready, f"deploy-{environment}")
        assert found["conditions"]["ref_name"]["include"] == [f"refs/heads/deploy/{environment}"]
        assert {"creation", "update"} == {rule["type"] for rule in found["rules"]}
        assert [(actor["actor_type"], actor["actor_id"]) for actor in found["bypass_actors"]] == [("Integration", app)]
    # Not even they rewrite the history.
    assert ruleset(ready, "deployments")["bypass_actors"] == []
    assert {rule["type"] for rule in ruleset(ready, "deployments")["rules"]} == {"deletion", "non_fast_forward"}


def test_a_merge_needs_the_gate_a_review_and_main_as_it_is(ready):
    rules = {rule["type"]: rule.get("parameters", {}) for rule in ruleset(ready, "main")["rules"]}
    assert rules["required_status_checks"]["required_status_checks"] == [{"context": "gate", "integration_id": 15368}]
    assert rules["required_status_checks"]["strict_required_status_checks_policy"] is True
    assert rules["pull_request"]["require_code_owner_review"] is True and rules["pull_request"]["required_approving_review_count"] == 1
    assert {"deletion", "non_fast_forward"} <= rules.keys()


def break_bypass(github):
    ruleset(github, "deploy-production")["bypass_actors"].append({"actor_id": 11, "actor_type": "Integration", "bypass_mode": "always"})


def break_enforcement(github):
    ruleset(github, "main")["enforcement"] = "evaluate"


def break_check(github):
    for rule in ruleset(github, "main")["rules"]:
        if rule["type"] == "required_status_checks":
            rule["parameters"]["required_status_checks"] = [{"context": "gate"}]


def break_rule(github):
    found = ruleset(github, "deployments")
    found["rules"] = [rule for rule in found["rules"] if rule["type"] != "non_fast_forward"]


def break_branches(github):
    github.policies["production"].append({"id": 99, "name": "release/*", "type": "branch"})


def break_tag(github):
    github.policies["production"] = [{"id": 99, "name": "main", "type": "tag"}]


def break_self_review(github):
    github.environments["production"]["protection_rules"][1]["prevent_self_review"] = False


def break_reviewers(github):
    github.environments["production-terraform"]["protection_rules"][1]["reviewers"] = [{"reviewer": {"slug": "developers"}}]


def break_rollback(github):
    github.environments["production-rollback"]["protection_rules"].append({"type": "required_reviewers", "reviewers": [{"reviewer": {"slug": "sre"}}]})


def break_secret(github):
    github.secrets["production-rollback"].remove("GITOPS_APP_PRIVATE_KEY")


def break_variable(github):
    github.variables[""].remove("PULL_ROLE_ARN")


def break_scope(github):
    github.secrets[""].append("GITOPS_APP_PRIVATE_KEY")


def break_organisation(github):
    github.secrets["organisation"] = ["CLIENT_SECRET"]


FAULTS = [
    (break_bypass, "ruleset deploy-production: does not hold for"),
    (break_enforcement, "ruleset main: enforcement is evaluate"),
    (break_check, "ruleset main: rules"),
    (break_rule, "ruleset deployments: rules"),
    (break_branches, "environment production: deploys from"),
    (break_self_review, "environment production: who starts a run may approve it"),
    (break_reviewers, "environment production-terraform: its reviewers"),
    (break_rollback, "environment production-rollback: ['sre'] would have to approve"),
    (break_secret, "production-rollback has no secret GITOPS_APP_PRIVATE_KEY"),
    (break_variable, "the repository has no variable PULL_ROLE_ARN"),
    (break_scope, "GITOPS_APP_PRIVATE_KEY is a secret of the repository"),
    (break_organisation, "CLIENT_SECRET is a secret of the organisation"),
]


@pytest.mark.parametrize(("fault", "problem"), [*FAULTS, (break_tag, "environment production: deploys from")], ids=lambda value: getattr(value, "__name__", None))
def test_a_difference_is_found(ready, fault, problem):
    fault(ready)
    done = ready("verify", *APPS)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and problem in done.stderr


def test_all_differences_are_set_right(ready):
    for fault, _ in FAULTS[:-4]:
        fault(ready)
    assert ready("apply", *APPS).returncode == 0
    # Values of variables and secrets are not the program's.
    break_secret(ready)
    assert ready("apply", *APPS).returncode == 1


class TestApproval:
    """What promote.yml asks before it deploys."""

    def test_another_person_approves(self, ready):
        assert ready("approval", "production").returncode == 0

    @pytest.mark.parametrize("fault", [break_self_review, break_branches])
    def test_not_as_described(self, ready, fault):
        fault(ready)
        assert ready("approval", "production").returncode == 1

    def test_a_plan_without_reviewers(self):
        """A private repository on GitHub's plan Team: the environment exists, and no reviewer is asked."""
        github = GitHub(reviewers_allowed=False)
        try:
            done = github("apply", *APPS)
            assert done.returncode == 1 and "GitHub Enterprise" in done.stderr
            github.environments["production"] = {"name": "production", "protection_rules": [{"type": "branch_policy"}], "deployment_branch_policy": {"custom_branch_policies": True}}
            github.policies["production"] = [{"id": 1, "name": "main", "type": "branch"}]
            done = github("approval", "production")
            assert done.returncode == 1 and "no reviewer has to approve" in done.stderr and "GitHub Enterprise" in done.stderr
        finally:
            github.close()

    def test_no_environment(self, github):
        done = github("approval", "production")
        assert done.returncode == 1 and "there is no environment production" in done.stderr

    def test_without_access(self, ready):
        done = ready("approval", "production", token="ghp_other")
        assert done.returncode == 1 and "401" in done.stderr and "ghp_other" not in done.stderr


def test_the_described_settings_are_the_used_ones():
    """Each environment, variable and secret that a workflow names, where it names it."""
    expanded = {
        "${{ inputs.environment }}-tests": {"staging-tests", "production-tests"},
        "${{ inputs.environment == 'production' && 'production-rollback' || 'staging' }}": {"staging", "production-rollback"},
        "${{ inputs.environment == 'production' && 'production-override' || 'staging' }}": {"staging", "production-override"},
        "${{ inputs.environment }}": {"staging", "production"},
        "${{ matrix.environment }}-terraform": {"staging-terraform", "production-terraform"},
    }
    used = {name: set() for name in WANTED["environment"]}
    optional = {"MENTION", "CODE_SECURITY"}
    repository = set()
    for workflow in read().values():
        for job in workflow.jobs:
            names = set(re.findall(r"\b(?:vars|secrets)\.([A-Z_]+)", str(job.data))) - optional
            for environment in expanded.get(job.environment, {job.environment} - {""}):
                used[environment] |= names
            repository |= set() if job.environment else names
    for name, wanted in WANTED["environment"].items():
        own = set(wanted.get("variables", [])) | set(wanted.get("secrets", []))
        assert own == used[name] - set(WANTED["variables"]) - set(WANTED["secrets"]), name
    assert repository | used["staging-terraform"] == set(WANTED["variables"]) | set(WANTED["secrets"])
