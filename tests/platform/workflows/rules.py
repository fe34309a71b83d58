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

SUBSCRIPTIONS = {f"{environment}_{kind}_SUBSCRIPTIONS" for environment in ("STAGING", "PRODUCTION") for kind in ("PAGE", "TICKET")}

# The environments whose jobs may read a secret.
ENVIRONMENTS_OF = {
    "CLIENT_SECRET": {"${{ inputs.environment }}-tests"},
    "GITOPS_APP_PRIVATE_KEY": {
        "staging",
        "production",
        "${{ inputs.environment }}",
        "production-rollback",
        "${{ inputs.environment == 'production' && 'production-rollback' || 'staging' }}",
        "${{ inputs.environment == 'production' && 'production-override' || 'staging' }}",
    },
}


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
    ("checks.yml", "comment"): {"pull-requests"},
    ("checks.yml", "plan"): {"id-token"},
    ("checks.yml", "report"): {"issues"},
    ("main.yml", "build"): {"id-token"},
    ("main.yml", "image"): {"id-token"},
    ("main.yml", "record"): {"id-token"},
    ("main.yml", "report"): {"issues"},
    ("override.yml", "announce"): {"issues"},
    ("override.yml", "report"): {"issues"},
    ("plan.yml", "plan"): {"id-token"},
    ("platform.yml", "report"): {"issues"},
    ("promote.yml", "candidate"): {"id-token"},
    ("promote.yml", "released"): {"contents", "id-token"},
    ("promote.yml", "report"): {"issues"},
    ("rollback.yml", "announce"): {"issues"},
    ("rollback.yml", "report"): {"issues"},
    ("security.yml", "images"): {"id-token"},
    ("security.yml", "report"): {"issues"},
    ("terraform.yml", "apply"): {"id-token"},
    ("terraform.yml", "plan"): {"id-token"},
    ("terraform.yml", "report"): {"issues"},
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
        elif workflow.name == "checks.yml":
            if concurrency["group"] != "checks-${{ github.event_name == 'pull_request' && github.ref || github.run_id }}":
                yield f"{workflow.name}: other runs than those of a pull request share {concurrency['group']}"
        elif concurrency["cancel-in-progress"] != "false":
            yield f"{workflow.name}: cancel-in-progress is {concurrency['cancel-in-progress']}"


@rule
def an_approval_blocks_nothing(workflows):
    """A job that waits for its reviewers holds its concurrency group meanwhile."""
    for job in jobs(workflows):
        if job.environment and "concurrency" in job.data:
            yield f"{job}: {job.environment} and a concurrency group"
    for workflow in workflows.values():
        if any(job.environment for job in workflow.jobs) and not re.search(r"run_id|github\.sha", str(workflow.data.get("concurrency", "run_id"))):
            yield f"{workflow.name}: its runs wait for each other"


@rule
def staging_takes_one_at_a_time(workflows):
    staging = workflows["main.yml"].data["jobs"]["staging"]
    if staging.get("concurrency") != {"group": "staging", "cancel-in-progress": "false", "queue": "max"}:
        yield f"main.yml, job staging: {staging.get('concurrency')}"


@rule
def caches_are_written_on_main_only(workflows):
    for job in jobs(workflows):
        for step in job.using("actions/cache"):
            yield f"{job}: saves what a pull request has made"
        for step in job.using("actions/cache/save"):
            if step.get("if") != "github.event_name == 'push'":
                yield f"{job}: saves if {step.get('if')}"
        if job.workflow != "checks.yml" and (job.using("actions/cache/restore") or re.search("cache-(from|to)", str(job.data))):
            yield f"{job}: a cache where releases are made"
    saved = [(step["with"]["path"], step["with"]["key"]) for job in jobs(workflows) for step in job.using("actions/cache/save")]
    for job in jobs(workflows):
        for step in job.using("actions/cache/restore"):
            if (step["with"]["path"], step["with"]["key"]) not in saved:
                yield f"{job}: nothing on main saves {step['with']['key']}"


@rule
def triggers_are_harmless(workflows):
    for workflow in workflows.values():
        allowed = {"merge_group", "pull_request", "push", "schedule", "workflow_call", "workflow_dispatch"}
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
            for part in re.split(r" \| |scripts/github/output (?:[\w-]+|'[\w ]+'|\"[\w$-]+\") ", re.sub(r" >>\"\$GITHUB_STEP_SUMMARY\"$", "", command)):
                yield from (f"{job}: {problem}" for problem in runs(part, targets))


def runs(command, targets):
    first, *rest = command.split() or [""]
    if first == "make":
        if rest[0] not in targets:
            yield f"no make target {rest[0]}"
    elif first.startswith("scripts/"):
        program = TOP / first
        if not (program.is_file() and program.stat().st_mode & 0o111):
            yield f"no program {first}"
    elif first not in ("", "tee"):
        yield f"neither a make target nor a script: {command}"


@rule
def checkouts_leave_no_credentials(workflows):
    for job in jobs(workflows):
        for step in job.using("actions/checkout"):
            if step.get("with", {}).get("persist-credentials") != "false":
                yield f"{job}: persist-credentials is not false"


@rule
def secrets_are_known_and_in_their_environment(workflows):
    for job in jobs(workflows):
        used = expressions(job.data, "secrets")
        if unknown := used - SUBSCRIPTIONS - ENVIRONMENTS_OF.keys():
            yield f"{job}: {sorted(unknown)}"
        for secret in used & ENVIRONMENTS_OF.keys():
            if job.environment not in ENVIRONMENTS_OF[secret]:
                yield f"{job}: {secret} in the environment {job.environment or '(none)'}"
        if job.data.get("secrets") == "inherit" and not re.search(r"/(tests|staging)\.yml", job.data.get("uses", "")):
            yield f"{job}: inherits every secret"
    for workflow in workflows.values():
        if re.search(r"toJSON\(secrets\)|secrets\[", workflow.text):
            yield f"{workflow.name}: secrets without their names"


# The roles of scripts/terraform/role, and of variables.
PLAN, APPLY = "plan", "apply"
PULL, PUSH = "${{ vars.PULL_ROLE_ARN }}", "${{ vars.PUSH_ROLE_ARN }}"

# What cannot be done without writing to the registry.
PUSHES = r"scripts/image|scripts/release/(publish|attest|record|keep)\b"


@rule
def aws_is_accessed_by_oidc_and_the_right_role(workflows):
    trust = (TOP / "terraform/modules/github-oidc/main.tf").read_text()
    [template] = re.findall(r'\["environment:([^"]+)"\]', trust)
    apply = template.replace("${environment}", "${{ matrix.environment }}")
    if 'environment == "staging" ? concat(local.on_branch, ["pull_request"]) : local.on_branch' not in trust or "push = local.on_branch, pull = local.on_branch" not in trust:
        yield "Terraform trusts other jobs than these rules know"
    for workflow in workflows.values():
        if re.search(r"access-key|AWS_SECRET|aws_session", workflow.text, re.IGNORECASE):
            yield f"{workflow.name}: a key of AWS"
    for job in jobs(workflows):
        roles = [assumed(job, step["with"]["role-to-assume"]) for step in job.using("aws-actions/configure-aws-credentials")]
        environment = {PLAN: "", PULL: "", PUSH: "", APPLY: apply}
        for role in roles:
            if role not in environment:
                yield f"{job}: the role {role}"
            elif job.environment != environment[role]:
                yield f"{job}: {role} trusts the environment {environment[role] or '(none)'}, not {job.environment or '(none)'}"
            if role in (PULL, PUSH) and not only_main(workflows[job.workflow], job):
                yield f"{job}: {role} trusts only main, and this job also runs elsewhere"
            if (role == PUSH) != bool(re.search(PUSHES, "\n".join(job.commands()))) and role != PLAN and role != APPLY:
                yield f"{job}: {role}, but it {'only reads' if role == PUSH else 'pushes'}"
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
        if "pull_request" in workflow.triggers and any(not command.endswith(' "$BASE" staging') for command in touched):
            yield f"{workflow.name}: plans more than staging"


def only_main(workflow, job):
    if set(workflow.triggers) == {"push"} or "github.ref == 'refs/heads/main'" in job.data.get("if", ""):
        return True
    # A job that is skipped skips those that need it, unless they run always.
    return "always()" not in job.data.get("if", "") and any(only_main(workflow, other) for other in workflow.jobs if other.name in needs(job))


@rule
def the_gate_waits_for_all(workflows):
    workflow = workflows["checks.yml"]
    everything = {job.name: job for job in workflow.jobs}
    gate = everything.pop("gate").data
    # Comes after it.
    everything.pop("report")
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


# Steps in their required order.
ORDER = {
    ("main.yml", "image"): ["release/publish", "release/attest"],
    ("main.yml", "record"): ["release/record staging", "release/keep staging"],
    ("staging.yml", "deploy"): ["release/deploy staging"],
    ("tests.yml", "tests"): ["release/wait", "release/integration-tests", "release/wait"],
    ("promote.yml", "candidate"): ["github/settings approval production", "release/verify --tested", "scripts/audit", "release/describe"],
    ("promote.yml", "deploy"): ["release/deploy production"],
    ("promote.yml", "undo"): ["release/rollback production --undo"],
    ("promote.yml", "released"): ["release/keep production", "github/release"],
    ("rollback.yml", "rollback"): ["release/rollback"],
    ("rollback.yml", "wait"): ["release/wait --platform"],
    ("platform.yml", "candidate"): ["github/settings approval", "release/platform-tested"],
    ("platform.yml", "deploy"): ["release/deploy --platform"],
    ("platform.yml", "wait"): ["release/wait --platform"],
    ("override.yml", "override"): ["release/override"],
    ("override.yml", "wait"): ["release/wait"],
}
NEEDED = {
    ("main.yml", "image"): {"build"},
    ("main.yml", "staging"): {"image"},
    ("main.yml", "record"): {"image", "staging"},
    ("staging.yml", "tests"): {"deploy"},
    ("promote.yml", "deploy"): {"candidate"},
    ("promote.yml", "tests"): {"deploy"},
    ("promote.yml", "undo"): {"deploy", "tests"},
    ("promote.yml", "released"): {"candidate", "tests"},
    ("rollback.yml", "tests"): {"rollback"},
    ("rollback.yml", "wait"): {"rollback"},
    ("platform.yml", "deploy"): {"candidate"},
    ("platform.yml", "wait"): {"deploy"},
    ("override.yml", "wait"): {"override"},
    ("terraform.yml", "apply"): {"changed"},
}


def by_position(workflows):
    return {(job.workflow, job.name): job for job in jobs(workflows)}


@rule
def releases_follow_the_order(workflows):
    found = by_position(workflows)
    for position, expected in ORDER.items():
        commands = [command for command in found[position].commands() if re.search(r"scripts/(release|audit|github/(settings|release))", command)]
        if len(commands) != len(expected) or not all(part in command for part, command in zip(expected, commands, strict=True)):
            yield f"{found[position]}: {commands}"
        for step in found[position].steps:
            if "if" in step or "continue-on-error" in step:
                yield f"{found[position]}: may be skipped, or fail: {step}"
    for position, needed in NEEDED.items():
        if needs(found[position]) != needed:
            yield f"{found[position]}: needs {needs(found[position])}, not {needed}"


@rule
def evidence_is_what_a_test_has_passed(workflows):
    found = by_position(workflows)
    for job in jobs(workflows):
        if "release/record" in str(job.commands()) and (job.workflow, job.name) != ("main.yml", "record"):
            yield f"{job}: records tests"
    # No status function: if a job that it needs fails or is skipped, so is this one.
    if found["main.yml", "record"].data.get("if") != "needs.staging.outputs.deployment != ''":
        yield f"main.yml: tests are recorded if {found['main.yml', 'record'].data.get('if')}"
    for position in [("staging.yml", "tests"), ("promote.yml", "tests"), ("promote.yml", "released"), ("promote.yml", "deploy")]:
        if re.search(r"always|failure|cancelled|!success", found[position].data.get("if", "")):
            yield f"{found[position]}: runs after a failure"
    digest = [step["env"]["DIGEST"] for step in found["promote.yml", "deploy"].steps if "release/deploy" in step.get("run", "")]
    if digest != ["${{ needs.candidate.outputs.digest }}"] or found["promote.yml", "candidate"].data["outputs"]["digest"] != "${{ steps.verify.outputs.digest }}":
        yield "promote.yml: deploys another digest than the verified one"


@rule
def production_is_approved_and_undone(workflows):
    found = by_position(workflows)
    if found["promote.yml", "deploy"].environment != "production":
        yield "promote: no approval"
    if found["platform.yml", "deploy"].environment != "${{ inputs.environment }}":
        yield "platform: no approval"
    undo = found["promote.yml", "undo"].data.get("if", "")
    for part in ["always() && needs.tests.result != 'success'", "needs.deploy.outputs.deployment != ''", "needs.deploy.outputs.unchanged == ''"]:
        if part not in undo:
            yield f"promote: undone if {undo}"


@rule
def tests_of_a_release_have_no_token(workflows):
    for job in jobs(workflows):
        if job.data.get("env", {}).keys() & {"GITHUB_TOKEN", "GITOPS_TOKEN", "GH_TOKEN"} and "announce" != job.name:
            yield f"{job}: a token for all its steps"
        if "integration-tests" not in str(job.commands()):
            continue
        if permitted(job, "write"):
            yield f"{job}: may write {permitted(job, 'write')}"
        if not job.environment.endswith("-tests") or expressions(job.data, "secrets") != {"CLIENT_SECRET"} or job.using("actions/create-github-app-token"):
            yield f"{job}: tests beside a key"
        for step in job.steps:
            given = set(step.get("env", {}))
            if "integration-tests" in step.get("run", "") and given != {"BASE_URL", "TOKEN_URL", "CLIENT_ID", "CLIENT_SECRET", "SMOKE"}:
                yield f"{job}: the integration tests are given {sorted(given)}"


@rule
def only_argo_cd_reports_rollouts(workflows):
    """An empty variable fails: scripts/release/statuses.py."""
    for job in jobs(workflows):
        for step in job.steps:
            if re.search(r"release/(wait|platform-tested)\b", step.get("run", "")) and step["env"].get("ARGO_CD_APP_LOGIN") != "${{ vars.ARGO_CD_APP_LOGIN }}":
                yield f"{job}: believes a status of {step['env'].get('ARGO_CD_APP_LOGIN')}"


@rule
def failures_reach_people(workflows):
    for workflow in workflows.values():
        if "workflow_call" in workflow.triggers:
            continue
        report = workflow.data["jobs"].get("report", {})
        if "scripts/github/issue --needs" not in str(report) or not report.get("if", "").startswith("always()"):
            yield f"{workflow.name}: no person learns that it failed"
        everything = {job.name for job in workflow.jobs} - {"report", "announce"}
        if workflow.name != "checks.yml" and (unseen := everything - set(report.get("needs", []))):
            yield f"{workflow.name}: no person learns that {sorted(unseen)} failed"


@rule
def terraform_reaches_staging_first(workflows):
    strategy = by_position(workflows)["terraform.yml", "apply"].data["strategy"]
    if (strategy.get("max-parallel"), strategy.get("fail-fast")) != ("1", "true"):
        yield f"terraform.yml, job apply: {strategy}"


@rule
def every_suite_runs(workflows):
    checks = workflows["checks.yml"]
    if "scripts/github/scope" not in checks.text:
        yield "checks.yml: no suites"
    if missing := {"pull_request", "merge_group", "push", "schedule"} - set(checks.triggers):
        yield f"checks.yml: not on {sorted(missing)}"
    if "paths" in str(checks.triggers):
        yield "checks.yml: a required check that is never reported blocks a pull request"
    scope = json.loads(subprocess.run([TOP / "scripts/github/scope"], capture_output=True, text=True, check=True).stdout)
    running = {suite for entry in scope["matrix"]["include"] for suite in entry["suites"].split()}
    # GitHub's image has had none since 2024.
    for job in checks.jobs:
        if "scripts/github/test" in str(job.commands()) and not job.using("hashicorp/setup-terraform"):
            yield f"{job}: suites that need Terraform, and none is installed"
    for name, suite in tomllib.loads((TOP / "tests/suites.toml").read_text()).items():
        # A suite that is not in the matrix has a job of the same name.
        if name not in running and not (name in checks.data["jobs"] and scope.get(name)):
            yield f"suites: {name} (job {suite['job']})"
