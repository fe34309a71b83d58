"""Whom GitHub's roles trust, and what they may do: asked as AWS would be, of the policies as they would be made."""

import json

import pytest
from calls import CALLS
from iam import actions, allowed, matches, principals, statements

FOLDER = "modules/github-oidc"
PREFIXES = ["repo:example/shoutback", "repo:example@1234567/shoutback@987654321"]
HERE = {"aws__RequestedRegion": "eu-central-1"}
ACCOUNT = "111122223333"
BUCKET = "arn:aws:s3:::shoutback-terraform-111122223333"
BOUNDARY = {"iam__PermissionsBoundary": "arn:aws:iam::111122223333:policy/shoutback-staging-boundary"}


@pytest.fixture
def run(tested):
    return tested["github-oidc/example"]


@pytest.fixture
def roles(run):
    """By name: the role's trust and all policies that it has, its own and those attached."""
    policies = {resource.values["name"]: json.loads(resource.values["policy"]) for resource in run.all("aws_iam_policy")}
    roles = {role.values["name"]: (json.loads(role.values["assume_role_policy"]), []) for role in run.all("aws_iam_role")}
    for policy in run.all("aws_iam_role_policy"):
        roles[policy.values["role"]][1].append(json.loads(policy.values["policy"]))
    for attachment in run.all("aws_iam_role_policy_attachment"):
        # All ARNs are the mock's: which policy is attached is told by the resource's name and index.
        if attachment.name in ("plan", "apply_read"):
            name = "shoutback-terraform-read"
        else:
            name = f"shoutback-apply-{attachment.index}"
        roles[attachment.values["role"]][1].append(policies[name])
    return roles


def token(subject, ref="refs/heads/main", audience="sts.amazonaws.com"):
    issuer = "token.actions.githubusercontent.com"
    return {f"{issuer}:aud": audience, f"{issuer}:sub": subject, f"{issuer}:ref": ref}


# What is behind the repository's name in a subject, where the job runs, and which roles may be had.
JOBS = [
    ("pull_request", "refs/pull/7/merge", "shoutback-plan"),
    ("ref:refs/heads/main", "refs/heads/main", "shoutback-plan", "shoutback-push"),
    ("environment:staging-terraform", "refs/heads/main", "shoutback-staging-apply"),
    ("environment:production-terraform", "refs/heads/main", "shoutback-production-apply"),
    ("environment:staging-terraform", "refs/heads/feature"),
    ("environment:production-terraform", "refs/pull/7/merge"),
    ("environment:production-terraform", "refs/tags/v1"),
    # Where releases go.
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


def taken(roles, claims):
    action = "sts:AssumeRoleWithWebIdentity"
    provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"
    return {name for name, (trust, _) in roles.items() if allowed([trust], action, principal=provider, keys=claims)}


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("job", JOBS, ids=lambda job: f"{job[0]} on {job[1]}")
def test_a_job_gets_the_role_that_is_for_it(roles, prefix, job):
    rest, ref, *expected = job
    assert taken(roles, token(f"{prefix}:{rest}", ref)) == set(expected)


@pytest.mark.parametrize("prefix", STRANGERS)
@pytest.mark.parametrize("job", JOBS[:4], ids=lambda job: f"{job[0]} on {job[1]}")
def test_other_repositories_get_none(roles, prefix, job):
    assert not taken(roles, token(f"{prefix}:{job[0]}", job[1]))


def test_tokens_for_others_than_aws_get_none(roles):
    assert not taken(roles, token(f"{PREFIXES[0]}:pull_request", audience="https://github.com/example"))
    assert not taken(roles, {"token.actions.githubusercontent.com:sub": f"{PREFIXES[0]}:pull_request"})


def test_trust_is_in_github_alone(roles):
    for trust, _ in roles.values():
        assert {kind for statement in statements(trust) for kind, _ in principals(statement)} == {"Federated"}


PLAN = "shoutback-plan"
PUSH = "shoutback-push"
STAGING = "shoutback-staging-apply"
OWN = {"aws__ResourceTag/environment": "staging"}
OTHERS = {"aws__ResourceTag/environment": "production"}
ROLE = f"arn:aws:iam::{ACCOUNT}:role/shoutback-staging-node"
KNOWN = "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy"
REPOSITORY = f"arn:aws:ecr:eu-central-1:{ACCOUNT}:repository/shoutback"
EU = f"eu-central-1:{ACCOUNT}"

MAY = [
    (PLAN, "ec2:DescribeVpcs", "*", {}),
    (PLAN, "eks:DescribeCluster", f"arn:aws:eks:{EU}:cluster/shoutback-production", {}),
    (PLAN, "s3:GetObject", f"{BUCKET}/production/terraform.tfstate", {}),
    (PUSH, "ecr:GetAuthorizationToken", "*", {}),
    (PUSH, "ecr:PutImage", REPOSITORY, {}),
    (STAGING, "s3:PutObject", f"{BUCKET}/staging/terraform.tfstate", {}),
    (STAGING, "s3:DeleteObject", f"{BUCKET}/staging/terraform.tfstate.tflock", {}),
    (STAGING, "iam:CreateRole", ROLE, BOUNDARY),
    (STAGING, "iam:PutRolePolicy", ROLE, BOUNDARY),
    (STAGING, "iam:AttachRolePolicy", ROLE, BOUNDARY | {"iam__PolicyARN": KNOWN}),
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

MAY_NOT = [
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
    (STAGING, "iam:AttachRolePolicy", ROLE, {"iam__PolicyARN": KNOWN}),
    (STAGING, "iam:AttachRolePolicy", ROLE, {"iam__PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/shoutback-production-boundary", "iam__PolicyARN": KNOWN}),
    (STAGING, "iam:PassRole", ROLE, {"iam__PassedToService": "lambda.amazonaws.com"}),
    (STAGING, "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/shoutback-production-node", {"iam__PassedToService": "eks.amazonaws.com"}),
    (STAGING, "iam:UpdateAssumeRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/{STAGING}", {}),
    (STAGING, "iam:PutRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/{STAGING}", BOUNDARY),
    (STAGING, "iam:CreatePolicyVersion", f"arn:aws:iam::{ACCOUNT}:policy/shoutback-staging-boundary", {}),
    (STAGING, "iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/shoutback-staging-me", {}),
    (STAGING, "iam:UpdateOpenIDConnectProviderThumbprint", "*", {}),
    (STAGING, "sts:AssumeRole", "*", {}),
    (STAGING, "ec2:CreateVpc", f"arn:aws:ec2:us-east-1:{ACCOUNT}:vpc/*", {"aws__RequestedRegion": "us-east-1"}),
    (STAGING, "ec2:DeleteVpc", f"arn:aws:ec2:{EU}:vpc/vpc-1", HERE | OTHERS),
    (STAGING, "ec2:DeleteVpc", f"arn:aws:ec2:{EU}:vpc/vpc-1", HERE),
    (STAGING, "ec2:CreateTags", f"arn:aws:ec2:{EU}:vpc/vpc-1", HERE | OTHERS),
    (STAGING, "ec2:RevokeSecurityGroupIngress", f"arn:aws:ec2:{EU}:security-group/sg-1", HERE | OTHERS),
    (STAGING, "eks:DeleteCluster", f"arn:aws:eks:{EU}:cluster/shoutback-production", HERE),
    (STAGING, "eks:CreateAccessEntry", f"arn:aws:eks:{EU}:cluster/shoutback-production", HERE),
    (STAGING, "kms:ScheduleKeyDeletion", f"arn:aws:kms:{EU}:key/1", OTHERS),
    (STAGING, "kms:PutKeyPolicy", f"arn:aws:kms:{EU}:key/1", {}),
    (STAGING, "kms:Decrypt", f"arn:aws:kms:{EU}:key/1", OWN),
    (STAGING, "kms:CreateGrant", f"arn:aws:kms:{EU}:key/1", OTHERS),
    (STAGING, "kms:TagResource", f"arn:aws:kms:{EU}:key/1", OTHERS | {"aws__RequestTag/environment": "staging"}),
    (STAGING, "kms:TagResource", f"arn:aws:kms:{EU}:key/1", {"aws__ResourceTag/environment": "bootstrap", "aws__RequestTag/environment": "staging"}),
    (STAGING, "ec2:AuthorizeSecurityGroupIngress", f"arn:aws:ec2:{EU}:security-group/sg-1", HERE | {"aws__ResourceTag/aws:eks:cluster-name": "shoutback-production"}),
    (STAGING, "ec2:CreateTags", f"arn:aws:ec2:{EU}:security-group/sg-1", HERE | {"aws__ResourceTag/elbv2.k8s.aws/cluster": "shoutback-production"}),
    (STAGING, "cloudwatch:PutMetricAlarm", f"arn:aws:cloudwatch:{EU}:alarm:production-ShoutbackReplicaDown-page", HERE),
    (STAGING, "cloudwatch:PutCompositeAlarm", f"arn:aws:cloudwatch:{EU}:alarm:production-ShoutbackReplicaDown-page", HERE),
    (STAGING, "sns:SetTopicAttributes", f"arn:aws:sns:{EU}:shoutback-production-page", HERE),
    (STAGING, "logs:DeleteLogGroup", f"arn:aws:logs:{EU}:log-group:/aws/eks/shoutback-production/cluster", HERE),
    (STAGING, "cloudwatch:DeleteAlarms", f"arn:aws:cloudwatch:{EU}:alarm:production-ShoutbackReplicaDown-page", HERE),
    (STAGING, "cognito-idp:DeleteUserPool", f"arn:aws:cognito-idp:{EU}:userpool/1", OTHERS),
    (STAGING, "route53:ChangeResourceRecordSets", "arn:aws:route53:::hostedzone/Z0PRODUCTION", {}),
    (STAGING, "ecr:PutImage", REPOSITORY, {}),
    (STAGING, "ecr:BatchDeleteImage", REPOSITORY, {}),
]


def asked(question):
    return f"{question[0]} {question[1]} {question[2]}"


@pytest.mark.parametrize("question", MAY, ids=asked)
def test_may(roles, question):
    role, action, resource, context = question
    assert allowed(roles[role][1], action, resource, **context)


@pytest.mark.parametrize("question", MAY_NOT, ids=asked)
def test_may_not(roles, question):
    role, action, resource, context = question
    assert not allowed(roles[role][1], action, resource, **context)


def test_apply_makes_and_removes_all_that_an_environment_is_made_of(roles, everything):
    made = {resource.type for name in ("staging", "production") for run in everything[f"environments/{name}"].values() for resource in run.resources}
    # By variables of the modules that environments leave alone, or that only the first installation has.
    by_choice = {"aws_acm_certificate", "aws_acm_certificate_validation", "aws_route53_record", "aws_eks_access_policy_association"}
    assert made | by_choice == CALLS.keys()
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


def test_the_boundary_leaves_no_way_to_more(boundaries):
    for boundary in boundaries.values():
        for action in ["iam:CreateRole", "iam:PassRole", "sts:AssumeRole", "s3:GetObject", "secretsmanager:GetSecretValue", "ec2:RunInstances", "lambda:InvokeFunction"]:
            assert not allowed([boundary], action, **HERE), action


OTHER_ENVIRONMENTS = ["environment", "aws:eks:cluster-name", "elbv2.k8s.aws/cluster", "KubernetesCluster"]


@pytest.mark.parametrize("tag", OTHER_ENVIRONMENTS)
def test_the_boundary_keeps_other_environments_out(boundaries, tag):
    """Whatever a role is given: what is another environment's by our tag, EKS', the load balancer controller's or the disks'."""
    ours, theirs = ("staging", "production") if tag == "environment" else ("shoutback-staging", "shoutback-production")
    for action in ("ec2:DeleteVolume", "elasticloadbalancing:DeleteLoadBalancer", "ec2:AuthorizeSecurityGroupIngress", "kms:Decrypt"):
        keys = {"aws:RequestedRegion": "eu-central-1"}
        assert allowed([boundaries["staging"]], action, keys=keys | {f"aws:ResourceTag/{tag}": ours})
        assert not allowed([boundaries["staging"]], action, keys=keys | {f"aws:ResourceTag/{tag}": theirs})
        assert not allowed([boundaries["staging"]], action, keys={"aws:RequestedRegion": "us-east-1"})


def test_records_are_bounded_by_environment(boundaries):
    action = "route53:ChangeResourceRecordSets"
    assert allowed([boundaries["staging"]], action, "arn:aws:route53:::hostedzone/Z0STAGING")
    assert not allowed([boundaries["staging"]], action, "arn:aws:route53:::hostedzone/Z0PRODUCTION")


def test_everything_that_roles_are_given_is_within_the_boundary(boundaries, everything):
    """Else it would be denied, and the policy would not say so."""
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


def test_everything_that_modules_attach_may_be_attached(roles, everything):
    """By the apply role, of AWS's own policies."""
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
