"""Rules of the workflows beyond linters. A rule is a function that yields violations."""

import json
import re
import subprocess
import tomllib

from workflows import TOP, expressions, jobs

RULES = []

# Commands that a step may run besides programs of scripts/. Each is one command, whose exit code counts.
COMMANDS = [
    r'aws ecr get-login-password \| docker login --username AWS --password-stdin "\$\{REPOSITORY%%/\*\}"',
    r'cat [a-z/*.]+ >>"\$GITHUB_STEP_SUMMARY"',
    r'echo "[^"]*" >>"\$GITHUB_STEP_SUMMARY"',
]

DEPLOYED_TO = ("staging", "production")

# Secrets that are restricted to jobs with a GitHub environment. The subscriptions' secrets are for plans, which have none.
OF_ENVIRONMENTS = ("CLIENT_SECRET", "GITOPS_APP_PRIVATE_KEY")


def rule(function):
    RULES.append(function)
    return function


@rule
def actions_are_pinned(workflows):
    versions = {}
    for workflow in workflows.values():
        for line in workflow.text.splitlines():
            if not (used := re.search(r"\buses: +(\S+)(.*)", line)) or used[1].startswith("./"):
                continue
            pinned = re.fullmatch(r"([\w.-]+/[\w./-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)", used[1] + used[2])
            if not pinned:
                yield f"{workflow.name}: no 40 characters and version: {line.strip()}"
            elif versions.setdefault(pinned[1], pinned.group(2, 3)) != pinned.group(2, 3):
                yield f"{workflow.name}: {pinned[1]} is elsewhere {versions[pinned[1]]}"


@rule
def permissions_are_granted_per_job(workflows):
    for workflow in workflows.values():
        if workflow.data.get("permissions") != {}:
            yield f"{workflow.name}: permissions at the top are not {{}}"
    for job in jobs(workflows):
        if not job.data.get("permissions"):
            yield f"{job}: no permissions"
        elif isinstance(job.data["permissions"], str):
            yield f"{job}: {job.data['permissions']}"
        elif (writes := set(permitted(job, "write"))) - MAY_WRITE.get((job.workflow, job.name), set()):
            yield f"{job}: may write {sorted(writes)}"


# The write permissions of each job; other jobs have none.
MAY_WRITE = {
    ("override.yml", "override"): {"contents"},
    ("platform.yml", "platform"): {"contents"},
    ("main.yml", "image"): {"id-token"},
    ("main.yml", "staging"): {"contents"},
    ("plan.yml", "plan"): {"id-token"},
    ("promote.yml", "image"): {"id-token"},
    ("promote.yml", "production"): {"contents"},
    ("pull-request.yml", "comment"): {"pull-requests"},
    ("pull-request.yml", "plan"): {"id-token"},
    ("rollback.yml", "rollback"): {"contents"},
    ("security.yml", "images"): {"id-token"},
    ("security.yml", "report"): {"issues"},
    ("terraform.yml", "apply"): {"id-token"},
    ("terraform.yml", "drift"): {"issues"},
    ("terraform.yml", "plan"): {"id-token"},
}


def permitted(job, what):
    permissions = job.data.get("permissions")
    return [name for name, access in permissions.items() if access == what] if isinstance(permissions, dict) else []


@rule
def permissions_have_a_reason(workflows):
    for workflow in workflows.values():
        for line in workflow.text.splitlines():
            if re.match(r" {6}[a-z-]+: (read|write|none)\b", line) and not re.search(r" # \w", line):
                yield f"{workflow.name}: no comment: {line.strip()}"


@rule
def jobs_end(workflows):
    for job in jobs(workflows):
        # An upgrade of a cluster takes up to two hours, and an interrupted apply leaves a locked state.
        longest = 175 if (job.workflow, job.name) == ("terraform.yml", "apply") else 120
        limit = job.data.get("timeout-minutes", "")
        if "uses" in job.data:
            continue
        if not limit.isdigit() or int(limit) > longest:
            yield f"{job}: timeout-minutes is {limit or 'missing'}"


@rule
def only_pull_requests_are_cancelled(workflows):
    for workflow in workflows.values():
        concurrency = workflow.data.get("concurrency")
        if "workflow_call" in workflow.triggers:
            continue
        if not concurrency:
            yield f"{workflow.name}: no concurrency"
        elif concurrency["cancel-in-progress"] != ("true" if workflow.name == "pull-request.yml" else "false"):
            yield f"{workflow.name}: cancel-in-progress is {concurrency['cancel-in-progress']}"


@rule
def deployments_to_an_environment_are_serialized(workflows):
    for job in jobs(workflows):
        if not job.environment:
            continue
        expected = {"group": job.environment, "cancel-in-progress": "false", "queue": "max"}
        if job.data.get("concurrency") != expected:
            yield f"{job}: concurrency is {job.data.get('concurrency')}, not {expected}"


@rule
def triggers_are_harmless(workflows):
    for workflow in workflows.values():
        allowed = {"pull_request", "push", "schedule", "workflow_call", "workflow_dispatch"}
        if unknown := set(workflow.triggers) - allowed:
            yield f"{workflow.name}: {', '.join(sorted(unknown))}"
        if "push" in workflow.triggers and workflow.triggers["push"].get("branches") != ["main"]:
            yield f"{workflow.name}: pushes to other branches than main"


@rule
def pipes_fail(workflows):
    for workflow in workflows.values():
        if workflow.data.get("defaults") != {"run": {"shell": "bash"}} and any("run" in step for job in workflow.jobs for step in job.steps):
            yield f"{workflow.name}: defaults.run.shell is not bash"


@rule
def steps_are_wiring(workflows):
    targets = set(re.findall(r"^([a-z-]+):", (TOP / "Makefile").read_text(), re.MULTILINE))
    for job in jobs(workflows):
        for command in job.commands():
            if "${{" in command:
                yield f"{job}: an expression in a command: {command}"
            if "\n" in command.strip() or re.search(r"[;`]|&&|\|\||\$\(", command.replace("\\`", "")):
                yield f"{job}: not one command: {command}"
            if any(re.fullmatch(known, command) for known in COMMANDS):
                continue
            # Both sides of a pipe, and the arguments of `output NAME`, are commands as well.
            for part in re.split(r" \| |scripts/github/output \w+ ", re.sub(r" >>\"\$GITHUB_STEP_SUMMARY\"$", "", command)):
                yield from (f"{job}: {problem}" for problem in runs(part, targets))


def runs(command, targets):
    first, *rest = command.split() or [""]
    if first == "make":
        if rest[0] not in targets:
            yield f"no make target {rest[0]}"
    elif first == "xargs":
        yield from runs(" ".join(word for word in rest if not word.startswith("--")), targets)
    elif first.startswith("scripts/"):
        program = TOP / first
        if not (program.is_file() and program.stat().st_mode & 0o111):
            yield f"no program {first}"
    elif (first, *rest[:2]) != ("aws", "ecr", "describe-images") and first:
        yield f"neither a make target nor a script: {command}"


@rule
def checkouts_leave_no_credentials(workflows):
    for job in jobs(workflows):
        for step in job.using("actions/checkout"):
            if step.get("with", {}).get("persist-credentials") != "false":
                yield f"{job}: persist-credentials is not false"


@rule
def secrets_are_known_and_in_their_environment(workflows):
    subscriptions = {f"{environment.upper()}_{kind}_SUBSCRIPTIONS" for environment in DEPLOYED_TO for kind in ("PAGE", "TICKET")}
    for job in jobs(workflows):
        used = expressions(job.data, "secrets")
        if unknown := used - subscriptions - set(OF_ENVIRONMENTS):
            yield f"{job}: {sorted(unknown)}"
        if set(OF_ENVIRONMENTS) & used and (not job.environment or job.environment.endswith("-terraform")):
            yield f"{job}: a secret of an environment without it"
        if "secrets" in job.data and not isinstance(job.data["secrets"], dict):
            yield f"{job}: inherits every secret"
    for workflow in workflows.values():
        if re.search(r"toJSON\(secrets\)|secrets\[", workflow.text):
            yield f"{workflow.name}: secrets without their names"


@rule
def aws_is_accessed_by_oidc_and_the_right_role(workflows):
    trust = (TOP / "terraform/modules/github-oidc/main.tf").read_text()
    [template] = re.findall(r'\["environment:([^"]+)"\]', trust)
    apply = template.replace("${environment}", "${{ matrix.environment }}")
    if 'environment == "staging" ? concat(local.on_branch, ["pull_request"]) : local.on_branch' not in trust or "push = local.on_branch" not in trust:
        yield "Terraform trusts other jobs than these rules know"
    for workflow in workflows.values():
        if re.search(r"access-key|AWS_SECRET|aws_session", workflow.text, re.IGNORECASE):
            yield f"{workflow.name}: a key of AWS"
    for job in jobs(workflows):
        roles = [assumed(job, step["with"]["role-to-assume"]) for step in job.using("aws-actions/configure-aws-credentials")]
        environment = {"plan": "", "${{ vars.PUSH_ROLE_ARN }}": "", "apply": apply}
        for role in roles:
            if role not in environment:
                yield f"{job}: the role {role}"
            elif job.environment != environment[role]:
                yield f"{job}: {role} trusts the environment {environment[role] or '(none)'}, not {job.environment or '(none)'}"
            if "PUSH" in role and not only_main(workflows[job.workflow], job):
                yield f"{job}: {role} trusts only main, and this job also runs elsewhere"
        calls_plan = "plan.yml" in job.data.get("uses", "")
        if bool(roles or calls_plan) != ("id-token" in permitted(job, "write")):
            yield f"{job}: id-token: write without use, or missing"


def assumed(job, role):
    """Returns the role of a step: an expression, or plan or apply of the environment of the matrix."""
    if role != "${{ steps.role.outputs.arn }}":
        return role
    [command] = [step["run"] for step in job.data["steps"] if step.get("id") == "role"]
    found = re.fullmatch(r'scripts/github/output arn scripts/terraform/role (plan|apply) "\$ENVIRONMENT"', command)
    return found[1] if found else command


@rule
def pull_requests_plan_staging_only(workflows):
    """A plan reads the state, and a pull request comes from any branch."""
    for workflow in workflows.values():
        touched = [command for job in workflow.jobs for command in job.commands() if "terraform/touched" in command]
        if "pull_request" in workflow.triggers and any("--pull-request" not in command for command in touched):
            yield f"{workflow.name}: plans more than staging"


@rule
def environments_are_applied_one_after_the_other(workflows):
    [job] = [job for job in workflows["terraform.yml"].jobs if job.name == "apply"]
    strategy = job.data["strategy"]
    if (strategy.get("max-parallel"), strategy.get("fail-fast")) != ("1", "true"):
        yield f"{job}: what fails in staging reaches production"


def only_main(workflow, job):
    return set(workflow.triggers) == {"push"} or "github.ref == 'refs/heads/main'" in job.data.get("if", "")


@rule
def the_gate_waits_for_all(workflows):
    workflow = workflows["pull-request.yml"]
    everything = {job.name: job for job in workflow.jobs}
    gate = everything.pop("gate").data
    if gate.get("if") != "always()":
        yield "gate: not `if: always()`"
    if missing := set(everything) - set(gate["needs"]):
        yield f"gate: does not wait for {sorted(missing)}"
    skippable = {name for name, job in everything.items() if "if" in job.data}
    while more := {name for name, job in everything.items() if skippable & needs(job)} - skippable:
        skippable |= more
    [command] = [step["run"] for step in gate["steps"] if "run" in step]
    if set(command.split()[2:]) != skippable:
        yield f"gate: {command}; may be skipped: {sorted(skippable)}"


def needs(job):
    needed = job.data.get("needs", [])
    return {needed} if isinstance(needed, str) else set(needed)


# Steps in their required order, in one job or in jobs that need each other.
ORDER = {
    ("main.yml", "image"): ["release/tag", "release/publish", "release/sign", "release/keep staging"],
    ("main.yml", "staging"): ["release/deploy staging", "release/wait staging", "release/integration-tests"],
    ("promote.yml", "image"): ["github/passed main.yml", "release/verify", "release/keep production"],
    ("promote.yml", "production"): ["release/deploy production", "release/wait", "integration-tests --smoke", "release/rollback", "release/wait"],
    ("rollback.yml", "rollback"): ["release/rollback", "release/wait", "integration-tests --smoke"],
}
NEEDED = {("main.yml", "staging"): "image", ("promote.yml", "production"): "image", ("terraform.yml", "apply"): "changed"}


@rule
def releases_follow_the_order(workflows):
    found = {(job.workflow, job.name): job for job in jobs(workflows)}
    for position, expected in ORDER.items():
        commands = [command for command in found[position].commands() if re.search(r"scripts/(release|github/passed)", command)]
        if len(commands) != len(expected) or not all(part in command for part, command in zip(expected, commands, strict=True)):
            yield f"{found[position]}: {commands}"
    for position, needed in NEEDED.items():
        if needed not in needs(found[position]):
            yield f"{found[position]}: does not need {needed}"


@rule
def production_is_approved_verified_and_reverted(workflows):
    production = next(job for job in workflows["promote.yml"].jobs if job.name == "production")
    if production.environment != "production":
        yield "promote: no approval"
    steps = [step for step in production.steps if "scripts/release" in step.get("run", "")]
    for step in steps[-2:]:
        if not step.get("if", "").startswith("${{ !success() && steps."):
            yield f"promote: goes back only if {step.get('if')}"
    for step in steps[:-2]:
        if "if" in step or "continue-on-error" in step:
            yield f"promote: {step['run']} may be skipped"


@rule
def tests_of_a_release_have_no_token(workflows):
    for job in jobs(workflows):
        if job.data.get("env", {}).keys() & {"GITHUB_TOKEN", "GITOPS_TOKEN", "GH_TOKEN"}:
            yield f"{job}: a token for all its steps"
        for step in job.steps:
            given = set(step.get("env", {}))
            if "integration-tests" in step.get("run", "") and given != {"BASE_URL", "TOKEN_URL", "CLIENT_ID", "CLIENT_SECRET"}:
                yield f"{job}: the integration tests are given {sorted(given)}"


@rule
def every_suite_runs(workflows):
    if "scripts/github/suites" not in workflows["pull-request.yml"].text:
        yield "pull-request.yml: no suites"
    shared = json.loads(subprocess.run([TOP / "scripts/github/suites"], capture_output=True, text=True, check=True).stdout)["include"]
    running = {suite for entry in shared for suite in entry["suites"].split()}
    for name, suite in tomllib.loads((TOP / "tests/suites.toml").read_text()).items():
        # A suite that is not in the matrix has a job of the same name.
        if name not in running and name not in workflows["pull-request.yml"].data["jobs"]:
            yield f"suites: {name} (job {suite['job']})"
