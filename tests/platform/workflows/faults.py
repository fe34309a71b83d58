"""Faults, each of which a rule must find in a changed workflow."""

from typing import NamedTuple


class Fault(NamedTuple):
    what: str
    rule: str
    workflow: str
    original: str
    replacement: str


FAULTS = [
    Fault("a tag instead of a commit", "actions_are_pinned", "main.yml", "@3d3c42e5aac5ba805825da76410c181273ba90b1", "@v7"),
    Fault("a short commit", "actions_are_pinned", "main.yml", "3d3c42e5aac5ba805825da76410c181273ba90b1", "3d3c42e"),
    Fault("no version", "actions_are_pinned", "main.yml", " # v7.0.1", ""),
    Fault("two versions of an action", "actions_are_pinned", "main.yml", "# v7.0.1", "# v7.0.0"),
    Fault("permissions for all jobs", "permissions_are_granted_per_job", "main.yml", "permissions: {}", "permissions:\n  contents: read"),
    Fault("a job without permissions", "permissions_are_granted_per_job", "main.yml", "    permissions:\n      contents: read # checkout\n", ""),
    Fault("all permissions", "permissions_are_granted_per_job", "main.yml", "    permissions:\n      contents: read # checkout\n", "    permissions: write-all\n"),
    Fault("a superfluous permission", "permissions_are_granted_per_job", "pull-request.yml", "contents: read # checkout", "contents: write # checkout"),
    Fault("a permission without a reason", "permissions_have_a_reason", "main.yml", "contents: read # checkout", "contents: read"),
    Fault("no timeout", "jobs_end", "main.yml", "    timeout-minutes: 60\n", ""),
    Fault("a long timeout", "jobs_end", "main.yml", "timeout-minutes: 60", "timeout-minutes: 360"),
    Fault("a cancelled build", "only_pull_requests_are_cancelled", "main.yml", "\n  cancel-in-progress: false", "\n  cancel-in-progress: true"),
    Fault("no concurrency", "only_pull_requests_are_cancelled", "security.yml", "concurrency:\n  group: security\n  cancel-in-progress: false\n", ""),
    Fault("a cancelled deployment", "deployments_to_an_environment_are_serialized", "promote.yml", "      cancel-in-progress: false", "      cancel-in-progress: true"),
    Fault("a concurrency group per run", "deployments_to_an_environment_are_serialized", "main.yml", "      group: staging", "      group: staging-${{ github.run_id }}"),
    Fault("the last one waiting wins", "deployments_to_an_environment_are_serialized", "promote.yml", "      queue: max\n", ""),
    Fault("a fork's code with our token", "triggers_are_harmless", "pull-request.yml", "  pull_request:", "  pull_request_target:"),
    Fault("another branch", "triggers_are_harmless", "main.yml", "branches: [main]", "branches: [main, next]"),
    Fault("pipes that hide failures", "pipes_fail", "main.yml", "    shell: bash", "    shell: sh"),
    Fault("an expression in a command", "steps_are_wiring", "rollback.yml", '"$DEPLOYMENT"', "${{ inputs.deployment }}"),
    Fault("a script in a workflow", "steps_are_wiring", "main.yml", "run: scripts/release/integration-tests", "run: |\n          set +e\n          scripts/release/integration-tests"),
    Fault("a lost exit code", "steps_are_wiring", "main.yml", "run: scripts/github/output tag scripts/release/tag", 'run: echo "tag=$(scripts/release/tag)"'),
    Fault("a forgiven failure", "steps_are_wiring", "main.yml", "run: scripts/release/integration-tests", "run: scripts/release/integration-tests || true"),
    Fault("a missing script", "steps_are_wiring", "main.yml", "scripts/release/sign", "scripts/release/seal"),
    Fault("a missing target", "steps_are_wiring", "pull-request.yml", "make check", "make checks"),
    Fault("an arbitrary command", "steps_are_wiring", "main.yml", "run: scripts/release/integration-tests", "run: curl https://example.com/tests"),
    Fault("a token left on the disk", "checkouts_leave_no_credentials", "main.yml", "        with:\n          persist-credentials: false\n", ""),
    Fault("an unknown secret", "secrets_are_known_and_in_their_environment", "main.yml", "secrets.CLIENT_SECRET", "secrets.PASSWORD"),
    Fault("an environment's secret without it", "secrets_are_known_and_in_their_environment", "main.yml", "    environment:\n      name: staging\n", "    env:\n"),
    Fault("all secrets", "secrets_are_known_and_in_their_environment", "main.yml", "${{ secrets.CLIENT_SECRET }}", "${{ toJSON(secrets) }}"),
    Fault("a key of AWS", "aws_is_accessed_by_oidc_and_the_right_role", "main.yml", "role-to-assume: ${{ vars.PUSH_ROLE_ARN }}", "aws-access-key-id: ${{ vars.KEY }}\n          role-to-assume: ${{ vars.PUSH_ROLE_ARN }}"),
    Fault("the role of applies for a push", "aws_is_accessed_by_oidc_and_the_right_role", "main.yml", "vars.PUSH_ROLE_ARN", "vars.APPLY_ROLE_ARN"),
    Fault("an apply without approval", "aws_is_accessed_by_oidc_and_the_right_role", "terraform.yml", "    environment: ${{ matrix.environment }}-terraform\n", ""),
    Fault("an apply with the approval of another environment", "aws_is_accessed_by_oidc_and_the_right_role", "terraform.yml", "environment: ${{ matrix.environment }}-terraform", "environment: ${{ matrix.environment }}"),
    Fault("a plan of production for a pull request", "pull_requests_plan_staging_only", "pull-request.yml", "terraform/touched --pull-request", "terraform/touched"),
    Fault("the role of applies for a plan", "aws_is_accessed_by_oidc_and_the_right_role", "plan.yml", "terraform/role plan", "terraform/role apply"),
    Fault("production beside staging", "environments_are_applied_one_after_the_other", "terraform.yml", "      max-parallel: 1\n", ""),
    Fault("a push from any branch", "aws_is_accessed_by_oidc_and_the_right_role", "promote.yml", "    if: github.ref == 'refs/heads/main'\n", ""),
    Fault("an unused token for AWS", "aws_is_accessed_by_oidc_and_the_right_role", "main.yml", "contents: write # the branch `deploy`", "contents: write # the branch `deploy`\n      id-token: write # nothing"),
    Fault("a gate that a failure skips", "the_gate_waits_for_all", "pull-request.yml", "    if: always()\n", ""),
    Fault("a job that the gate forgets", "the_gate_waits_for_all", "pull-request.yml", "needs: [service, coverage, ", "needs: [service, "),
    Fault("a job that may be skipped", "the_gate_waits_for_all", "pull-request.yml", "--may-skip touched", "--may-skip service touched"),
    Fault("a deployment without a signature", "releases_follow_the_order", "main.yml", 'run: scripts/release/sign "$REPOSITORY@$DIGEST"', "run: make help"),
    Fault("a promotion that verifies nothing", "releases_follow_the_order", "promote.yml", 'run: scripts/release/verify "$REPOSITORY@$DIGEST"', "run: make help"),
    Fault("tests before the rollout", "releases_follow_the_order", "main.yml", 'run: scripts/release/wait staging "$COMMIT"', "run: scripts/release/integration-tests"),
    Fault("a deployment concurrent with the build", "releases_follow_the_order", "main.yml", "    needs: image\n", ""),
    Fault("production without approval", "production_is_approved_verified_and_reverted", "promote.yml", "      name: production\n", "      name: staging\n"),
    Fault("a cancelled run that stays", "production_is_approved_verified_and_reverted", "promote.yml", "${{ !success() && steps.deploy", "${{ failure() && steps.deploy"),
    Fault("a smoke test that may fail", "production_is_approved_verified_and_reverted", "promote.yml", "      - run: scripts/release/integration-tests --smoke", "      - continue-on-error: true\n        run: scripts/release/integration-tests --smoke"),
    Fault("tests that could push", "tests_of_a_release_have_no_token", "main.yml", "          BASE_URL: ${{ vars.BASE_URL }}\n", "          BASE_URL: ${{ vars.BASE_URL }}\n          GITHUB_TOKEN: ${{ github.token }}\n"),
    Fault("no suites", "every_suite_runs", "pull-request.yml", "scripts/github/suites", "scripts/github/gate"),
]
