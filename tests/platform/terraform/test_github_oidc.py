"""Trust and permissions of GitHub's roles, by evaluating the planned policies as AWS does."""

import json

import pytest
from calls import CALLS
from iam import actions, allowed, matches, principals, statements

FOLDER = "modules/github-oidc"
PREFIXES = ["repo:example/shoutback", "repo:example@1234567/shoutback@987654321"]
HERE = {"aws__RequestedRegion": "us-east-2"}
ACCOUNT = "111122223333"
BUCKET = "arn:aws:s3:::shoutback-terraform-111122223333"
BOUNDARY = {"iam__PermissionsBoundary": "arn:aws:iam::111122223333:policy/shoutback-staging-boundary"}


@pytest.fixture
def run(tested):
    return tested["github-oidc/example"]


@pytest.fixture
def roles(run):
    """Returns for each role by name its trust policy and all its policies, inline and attached."""
    policies = {resource.values["name"]: json.loads(resource.values["policy"]) for resource in run.all("aws_iam_policy")}
    roles = {role.values["name"]: (json.loads(role.values["assume_role_policy"]), []) for role in run.all("aws_iam_role")}
    for policy in run.all("aws_iam_role_policy"):
        roles[policy.values["role"]][1].append(json.loads(policy.values["policy"]))
    for attachment in run.all("aws_iam_role_policy_attachment"):
        # All ARNs are mocked, so the resource's name and index identify the attached policy.
        if attachment.name in ("plan", "apply_read"):
            name = "shoutback-terraform-read"
        else:
            name = f"shoutback-apply-{attachment.index}"
        roles[attachment.values["role"]][1].append(policies[name])
    return roles


def token(subject, ref="refs/heads/main", audience="sts.amazonaws.com"):
    issuer = "token.actions.githubusercontent.com"
    return {f"{issuer}:aud": audience, f"{issuer}:sub": subject, f"{issuer}:ref": ref}


# The subject after the name of the repository, the ref of the job, and the roles that it can assume.
JOBS = [
    ("pull_request", "refs/pull/7/merge", "shoutback-plan"),
    ("ref:refs/heads/main", "refs/heads/main", "shoutback-plan", "shoutback-push"),
    ("environment:staging-terraform", "refs/heads/main", "shoutback-staging-apply"),
    ("environment:production-terraform", "refs/heads/main", "shoutback-production-apply"),
    ("environment:staging-terraform", "refs/heads/feature"),
    ("environment:production-terraform", "refs/pull/7/merge"),
    ("environment:production-terraform", "refs/tags/v1"),
    # Environments of releases.
    ("environment:staging", "refs/heads/main"),
    ("environment:production", "refs/heads/main"),
    ("environment:preview", "refs/heads/main"),
    ("environment:staging2", "refs/heads/main"),
    ("ref:refs/heads/feature", "refs/heads/feature"),
    ("ref:refs/heads/main-2", "refs/heads/main-2"),
    ("ref:refs/tags/main", "refs/tags/main"),
    ("", "refs/heads/main"),
    ("*", "refs/heads/main"),
]
STRANGERS = ["repo:example/shoutback2", "repo:other/shoutback", "repo:example@7654321/shoutback@987654321", "repo:example@1234567/shoutback@1", "repo:EXAMPLE/shoutback"]


def assumable(roles, claims):
    action = "sts:AssumeRoleWithWebIdentity"
    provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"
    return {name for name, (trust, _) in roles.items() if allowed([trust], action, principal=provider, keys=claims)}


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("job", JOBS, ids=lambda job: f"{job[0]} on {job[1]}")
def test_a_job_gets_only_its_role(roles, prefix, job):
    rest, ref, *expected = job
    assert assumable(roles, token(f"{prefix}:{rest}", ref)) == set(expected)


@pytest.mark.parametrize("prefix", STRANGERS)
@pytest.mark.parametrize("job", JOBS[:4], ids=lambda job: f"{job[0]} on {job[1]}")
def test_other_repositories_get_none(roles, prefix, job):
    assert not assumable(roles, token(f"{prefix}:{job[0]}", job[1]))


def test_tokens_for_other_audiences_get_none(roles):
    assert not assumable(roles, token(f"{PREFIXES[0]}:pull_request", audience="https://github.com/example"))
    assert not assumable(roles, {"token.actions.githubusercontent.com:sub": f"{PREFIXES[0]}:pull_request"})


def test_only_github_is_trusted(roles):
    for trust, _ in roles.values():
        assert {kind for statement in statements(trust) for kind, _ in principals(statement)} == {"Federated"}


PLAN = "shoutback-plan"
PUSH = "shoutback-push"
STAGING = "shoutback-staging-apply"
OWN = {"aws__ResourceTag/environment": "staging"}
OTHER_ENVIRONMENT = {"aws__ResourceTag/environment": "production"}
ROLE = f"arn:aws:iam::{ACCOUNT}:role/shoutback-staging-node"
KNOWN_POLICY = "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy"
REPOSITORY = f"arn:aws:ecr:us-east-2:{ACCOUNT}:repository/shoutback"
EU = f"us-east-2:{ACCOUNT}"

ALLOWED = [
    (PLAN, "ec2:DescribeVpcs", "*", {}),
    (PLAN, "eks:DescribeCluster", f"arn:aws:eks:{EU}:cluster/shoutback-production", {}),
    (PLAN, "s3:GetObject", f"{BUCKET}/production/terraform.tfstate", {}),
    (PUSH, "ecr:GetAuthorizationToken", "*", {}),
    (PUSH, "ecr:PutImage", REPOSITORY, {}),
    (STAGING, "s3:PutObject", f"{BUCKET}/staging/terraform.tfstate", {}),
    (STAGING, "s3:DeleteObject", f"{BUCKET}/staging/terraform.tfstate.tflock", {}),
    (STAGING, "iam:CreateRole", ROLE, BOUNDARY),
    (STAGING, "iam:PutRolePolicy", ROLE, BOUNDARY),
    (STAGING, "iam:AttachRolePolicy", ROLE, BOUNDARY | {"iam__PolicyARN": KNOWN_POLICY}),
    (STAGING, "iam:PassRole", ROLE, {"iam__PassedToService": "eks.amazonaws.com"}),
    (STAGING, "ec2:CreateVpc", f"arn:aws:ec2:{EU}:vpc/*", HERE),
    (STAGING, "ec2:ModifyVpcAttribute", f"arn:aws:ec2:{EU}:vpc/vpc-1", HERE | OWN),
    (STAGING, "ec2:DeleteVpc", f"arn:aws:ec2:{EU}:vpc/vpc-1", HERE | OWN),
    (STAGING, "eks:CreateCluster", f"arn:aws:eks:{EU}:cluster/shoutback-staging", HERE),
    (STAGING, "eks:DeleteNodegroup", f"arn:aws:eks:{EU}:nodegroup/shoutback-staging/shoutback-staging-nodes/1", HERE),
    (STAGING, "kms:CreateKey", "*", {"aws__RequestTag/environment": "staging"}),
    (STAGING, "kms:ScheduleKeyDeletion", f"arn:aws:kms:{EU}:key/1", OWN),
    (STAGING, "logs:CreateLogGroup", f"arn:aws:logs:{EU}:log-group:/aws/eks/shoutback-staging/cluster", HERE),
    (STAGING, "cloudwatch:PutMetricAlarm", f"arn:aws:cloudwatch:{EU}:alarm:staging-ShoutbackReplicaDown-page", HERE),
    (STAGING, "route53:ChangeResourceRecordSets", "arn:aws:route53:::hostedzone/Z0STAGING", {}),
]

FORBIDDEN = [
    (PLAN, "s3:PutObject", f"{BUCKET}/staging/terraform.tfstate", {}),
    (PLAN, "s3:GetObject", f"{BUCKET}/bootstrap/terraform.tfstate", {}),
    (PLAN, "s3:GetObject", "arn:aws:s3:::another/object", {}),
    (PLAN, "secretsmanager:GetSecretValue", "*", {}),
    (PLAN, "ec2:CreateTags", "*", HERE),
    (PLAN, "ecr:BatchGetImage", REPOSITORY, {}),
    (PLAN, "kms:Encrypt", f"arn:aws:kms:{EU}:key/00000000-0000-0000-0000-000000000000", {}),
    (PUSH, "ecr:BatchDeleteImage", REPOSITORY, {}),
    (PUSH, "ecr:PutImageTagMutability", REPOSITORY, {}),
    (PUSH, "ecr:PutImage", f"{REPOSITORY}-2", {}),
    (PUSH, "ec2:DescribeVpcs", "*", {}),
    (STAGING, "s3:PutObject", f"{BUCKET}/production/terraform.tfstate", {}),
    (STAGING, "s3:GetObject", f"{BUCKET}/production/terraform.tfstate", {}),
    (STAGING, "s3:DeleteObject", f"{BUCKET}/staging/terraform.tfstate", {}),
    (STAGING, "s3:PutBucketPolicy", BUCKET, {}),
    (STAGING, "iam:CreateRole", ROLE, {}),
    (STAGING, "iam:CreateRole", ROLE, {"iam__PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/shoutback-production-boundary"}),
    (STAGING, "iam:PutRolePermissionsBoundary", ROLE, {"iam__PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/shoutback-production-boundary"}),
    (STAGING, "iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/shoutback-production-node", BOUNDARY),
    (STAGING, "iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/administrator", BOUNDARY),
    (STAGING, "iam:PutRolePolicy", ROLE, {}),
    (STAGING, "iam:DeleteRolePermissionsBoundary", ROLE, BOUNDARY),
    (STAGING, "iam:AttachRolePolicy", ROLE, BOUNDARY | {"iam__PolicyARN": "arn:aws:iam::aws:policy/AdministratorAccess"}),
    (STAGING, "iam:AttachRolePolicy", ROLE, {"iam__PolicyARN": KNOWN_POLICY}),
    (STAGING, "iam:AttachRolePolicy", ROLE, {"iam__PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/shoutback-production-boundary", "iam__PolicyARN": KNOWN_POLICY}),
    (STAGING, "iam:PassRole", ROLE, {"iam__PassedToService": "lambda.amazonaws.com"}),
    (STAGING, "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/shoutback-production-node", {"iam__PassedToService": "eks.amazonaws.com"}),
    (STAGING, "iam:UpdateAssumeRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/{STAGING}", {}),
    (STAGING, "iam:PutRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/{STAGING}", BOUNDARY),
    (STAGING, "iam:CreatePolicyVersion", f"arn:aws:iam::{ACCOUNT}:policy/shoutback-staging-boundary", {}),
    (STAGING, "iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/shoutback-staging-me", {}),
    (STAGING, "iam:UpdateOpenIDConnectProviderThumbprint", "*", {}),
    (STAGING, "sts:AssumeRole", "*", {}),
    (STAGING, "ec2:CreateVpc", f"arn:aws:ec2:us-east-1:{ACCOUNT}:vpc/*", {"aws__RequestedRegion": "us-east-1"}),
    (STAGING, "ec2:DeleteVpc", f"arn:aws:ec2:{EU}:vpc/vpc-1", HERE | OTHER_ENVIRONMENT),
    (STAGING, "ec2:DeleteVpc", f"arn:aws:ec2:{EU}:vpc/vpc-1", HERE),
    (STAGING, "ec2:CreateTags", f"arn:aws:ec2:{EU}:vpc/vpc-1", HERE | OTHER_ENVIRONMENT),
    (STAGING, "ec2:RevokeSecurityGroupIngress", f"arn:aws:ec2:{EU}:security-group/sg-1", HERE | OTHER_ENVIRONMENT),
    (STAGING, "eks:DeleteCluster", f"arn:aws:eks:{EU}:cluster/shoutback-production", HERE),
    (STAGING, "eks:CreateAccessEntry", f"arn:aws:eks:{EU}:cluster/shoutback-production", HERE),
    (STAGING, "kms:ScheduleKeyDeletion", f"arn:aws:kms:{EU}:key/1", OTHER_ENVIRONMENT),
    (STAGING, "kms:PutKeyPolicy", f"arn:aws:kms:{EU}:key/1", {}),
    (STAGING, "kms:Decrypt", f"arn:aws:kms:{EU}:key/1", OWN),
    (STAGING, "kms:CreateGrant", f"arn:aws:kms:{EU}:key/1", OTHER_ENVIRONMENT),
    (STAGING, "kms:TagResource", f"arn:aws:kms:{EU}:key/1", OTHER_ENVIRONMENT | {"aws__RequestTag/environment": "staging"}),
    (STAGING, "kms:TagResource", f"arn:aws:kms:{EU}:key/1", {"aws__ResourceTag/environment": "bootstrap", "aws__RequestTag/environment": "staging"}),
    (STAGING, "ec2:AuthorizeSecurityGroupIngress", f"arn:aws:ec2:{EU}:security-group/sg-1", HERE | {"aws__ResourceTag/aws:eks:cluster-name": "shoutback-production"}),
    (STAGING, "ec2:CreateTags", f"arn:aws:ec2:{EU}:security-group/sg-1", HERE | {"aws__ResourceTag/elbv2.k8s.aws/cluster": "shoutback-production"}),
    (STAGING, "cloudwatch:PutMetricAlarm", f"arn:aws:cloudwatch:{EU}:alarm:production-ShoutbackReplicaDown-page", HERE),
    (STAGING, "cloudwatch:PutCompositeAlarm", f"arn:aws:cloudwatch:{EU}:alarm:production-ShoutbackReplicaDown-page", HERE),
    (STAGING, "sns:SetTopicAttributes", f"arn:aws:sns:{EU}:shoutback-production-page", HERE),
    (STAGING, "logs:DeleteLogGroup", f"arn:aws:logs:{EU}:log-group:/aws/eks/shoutback-production/cluster", HERE),
    (STAGING, "cloudwatch:DeleteAlarms", f"arn:aws:cloudwatch:{EU}:alarm:production-ShoutbackReplicaDown-page", HERE),
    (STAGING, "cognito-idp:DeleteUserPool", f"arn:aws:cognito-idp:{EU}:userpool/1", OTHER_ENVIRONMENT),
    (STAGING, "route53:ChangeResourceRecordSets", "arn:aws:route53:::hostedzone/Z0PRODUCTION", {}),
    (STAGING, "ecr:PutImage", REPOSITORY, {}),
    (STAGING, "ecr:BatchDeleteImage", REPOSITORY, {}),
]


def identified(question):
    return f"{question[0]} {question[1]} {question[2]}"


@pytest.mark.parametrize("question", ALLOWED, ids=identified)
def test_allowed(roles, question):
    role, action, resource, context = question
    assert allowed(roles[role][1], action, resource, **context)


@pytest.mark.parametrize("question", FORBIDDEN, ids=identified)
def test_forbidden(roles, question):
    role, action, resource, context = question
    assert not allowed(roles[role][1], action, resource, **context)


def test_apply_creates_and_deletes_every_resource_of_an_environment(roles, everything):
    created = {resource.type for name in ("staging", "production") for run in everything[f"environments/{name}"].values() for resource in run.resources}
    # Created only for other values of the modules' variables, or only in the first installation.
    by_choice = {"aws_acm_certificate", "aws_acm_certificate_validation", "aws_route53_record", "aws_eks_access_policy_association"}
    assert created | by_choice == CALLS.keys()
    denied = [f"{kind}: {action} on {resource} with {context}" for kind, calls in CALLS.items() for action, resource, context in calls if not allowed(roles[STAGING][1], action, resource, keys=context)]
    assert denied == []


def test_reads_do_not_write(roles):
    reads = ("Describe", "Get", "List", "Decrypt")
    for policy in roles[PLAN][1]:
        for statement in statements(policy):
            assert all(action.split(":")[1].startswith(reads) for action in actions(statement)), statement["Sid"]


@pytest.fixture
def boundaries(run):
    return {resource.index: json.loads(resource.values["policy"]) for resource in run.all("aws_iam_policy") if resource.name == "boundary"}


def test_the_boundary_prevents_escalation(boundaries):
    for boundary in boundaries.values():
        for action in ["iam:CreateRole", "iam:PassRole", "sts:AssumeRole", "s3:GetObject", "secretsmanager:GetSecretValue", "ec2:RunInstances", "lambda:InvokeFunction"]:
            assert not allowed([boundary], action, **HERE), action


OTHER_ENVIRONMENTS = ["environment", "aws:eks:cluster-name", "elbv2.k8s.aws/cluster", "KubernetesCluster"]


@pytest.mark.parametrize("tag", OTHER_ENVIRONMENTS)
def test_the_boundary_excludes_other_environments(boundaries, tag):
    """For any policy of a role: resources of another environment by our tag, or those of EKS, load balancers or disks."""
    own, other = ("staging", "production") if tag == "environment" else ("shoutback-staging", "shoutback-production")
    for action in ("ec2:DeleteVolume", "elasticloadbalancing:DeleteLoadBalancer", "ec2:AuthorizeSecurityGroupIngress", "kms:Decrypt"):
        keys = {"aws:RequestedRegion": "us-east-2"}
        assert allowed([boundaries["staging"]], action, keys=keys | {f"aws:ResourceTag/{tag}": own})
        assert not allowed([boundaries["staging"]], action, keys=keys | {f"aws:ResourceTag/{tag}": other})
        assert not allowed([boundaries["staging"]], action, keys={"aws:RequestedRegion": "us-east-1"})


def test_records_are_bounded_by_environment(boundaries):
    action = "route53:ChangeResourceRecordSets"
    assert allowed([boundaries["staging"]], action, "arn:aws:route53:::hostedzone/Z0STAGING")
    assert not allowed([boundaries["staging"]], action, "arn:aws:route53:::hostedzone/Z0PRODUCTION")


def test_all_permissions_of_roles_are_within_the_boundary(boundaries, everything):
    """Otherwise they would be denied although the policy allows them."""
    named = [action for statement in statements(boundaries["staging"]) for action in actions(statement)]
    given = set()
    for folder, runs in everything.items():
        if folder in ("bootstrap", FOLDER):
            continue
        for run in runs.values():
            for resource in run.all("aws_iam_role_policy") + run.all("aws_iam_policy"):
                for statement in statements(json.loads(resource.values["policy"])):
                    given |= set(actions(statement))
    assert given
    assert [action for action in sorted(given) if not any(matches(action, name) for name in named)] == []


def test_the_apply_role_may_attach_the_policies_of_the_modules(roles, everything):
    """Of AWS' managed policies."""
    attached = {
        resource.values["policy_arn"]
        for folder, runs in everything.items()
        if folder not in ("bootstrap", FOLDER)
        for run in runs.values()
        for resource in run.all("aws_iam_role_policy_attachment")
    }
    assert attached
    for arn in attached:
        assert allowed(roles[STAGING][1], "iam:AttachRolePolicy", ROLE, **BOUNDARY, iam__PolicyARN=arn), arn
