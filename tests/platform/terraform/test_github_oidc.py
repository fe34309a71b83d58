"""Trust and permissions of GitHub's roles, by evaluating the planned policies as AWS does."""

import json

import pytest
import yaml
from calls import CALLS
from folders import ROOT
from iam import actions, allowed, matches, principals, statements

FOLDER = "modules/github-oidc"
PREFIXES = ["repo:example/shoutback", "repo:example@1234567/shoutback@987654321"]
HERE = {"aws__RequestedRegion": "us-east-2"}
ACCOUNT = "111122223333"
BUCKET = "arn:aws:s3:::shoutback-terraform-111122223333"
BOUNDARY = {"iam__PermissionsBoundary": "arn:aws:iam::111122223333:policy/shoutback-staging-boundary"}


@pytest.fixture
def run(tested):
    return tested["github-oidc/two_environments"]


@pytest.fixture
def roles(run):
    """Returns for each role by name its trust policy and all its policies, inline and attached."""
    policies = {resource.values["name"]: json.loads(resource.values["policy"]) for resource in run.all("aws_iam_policy")}
    roles = {role.values["name"]: (json.loads(role.values["assume_role_policy"]), []) for role in run.all("aws_iam_role")}
    for policy in run.all("aws_iam_role_policy"):
        roles[policy.values["role"]][1].append(json.loads(policy.values["policy"]))
    for attachment in run.all("aws_iam_role_policy_attachment"):
        # All ARNs are mocked, so the resource's name and index identify the attached policy.
        environment = attachment.values["role"].rpartition("-")[0]
        roles[attachment.values["role"]][1].append(policies[f"{environment}-read" if attachment.name == "read" else f"{environment}-apply-{attachment.index}"])
    return roles


def token(subject, ref="refs/heads/main", audience="sts.amazonaws.com"):
    issuer = "token.actions.githubusercontent.com"
    return {f"{issuer}:aud": audience, f"{issuer}:sub": subject, f"{issuer}:ref": ref}


# The subject after the name of the repository, the ref of the job, and the roles that it can assume.
JOBS = [
    # A developer who can push a branch can open a pull request: never production's state.
    ("pull_request", "refs/pull/7/merge", "shoutback-staging-plan"),
    ("ref:refs/heads/main", "refs/heads/main", "shoutback-staging-plan", "shoutback-production-plan", "shoutback-bootstrap-plan", "shoutback-pull", "shoutback-push"),
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


PLAN = "shoutback-staging-plan"
PRODUCTION_PLAN = "shoutback-production-plan"
BOOTSTRAP_PLAN = "shoutback-bootstrap-plan"
PULL = "shoutback-pull"
PUSH = "shoutback-push"
STAGING = "shoutback-staging-apply"
OWN = {"aws__ResourceTag/environment": "staging"}
OTHER_ENVIRONMENT = {"aws__ResourceTag/environment": "production"}
ROLE = f"arn:aws:iam::{ACCOUNT}:role/shoutback-staging-node"
KNOWN_POLICY = "arn:aws:iam::aws:policy/AmazonEKSComputePolicy"
REPOSITORY = f"arn:aws:ecr:us-east-2:{ACCOUNT}:repository/shoutback"
US = f"us-east-2:{ACCOUNT}"
STATE_KEY = f"arn:aws:kms:{US}:key/00000000-0000-0000-0000-000000000000"
OF_STATE = {"keys": {"kms:ViaService": "s3.us-east-2.amazonaws.com", "kms:EncryptionContext:aws:s3:arn": BUCKET}}

ALLOWED = [
    (PLAN, "ec2:DescribeVpcs", "*", HERE),
    (PLAN, "eks:DescribeCluster", f"arn:aws:eks:{US}:cluster/shoutback-staging", {}),
    (PLAN, "s3:GetObject", f"{BUCKET}/staging/terraform.tfstate", {}),
    (PLAN, "kms:Decrypt", STATE_KEY, OF_STATE),
    (PLAN, "cognito-idp:DescribeUserPool", f"arn:aws:cognito-idp:{US}:userpool/1", OWN),
    (PLAN, "cloudformation:GetTemplate", f"arn:aws:cloudformation:{US}:stack/shoutback-staging-clients/1", {}),
    (PRODUCTION_PLAN, "s3:GetObject", f"{BUCKET}/production/terraform.tfstate", {}),
    (BOOTSTRAP_PLAN, "s3:GetObject", f"{BUCKET}/bootstrap/terraform.tfstate", {}),
    (BOOTSTRAP_PLAN, "s3:GetBucketPolicy", BUCKET, {}),
    (BOOTSTRAP_PLAN, "cloudtrail:GetTrailStatus", "*", {}),
    (PULL, "ecr:GetAuthorizationToken", "*", {}),
    (PULL, "ecr:BatchGetImage", REPOSITORY, {}),
    (PUSH, "ecr:GetAuthorizationToken", "*", {}),
    (PUSH, "ecr:PutImage", REPOSITORY, {}),
    (STAGING, "s3:PutObject", f"{BUCKET}/staging/terraform.tfstate", {}),
    (STAGING, "s3:DeleteObject", f"{BUCKET}/staging/terraform.tfstate.tflock", {}),
    (STAGING, "iam:CreateRole", ROLE, BOUNDARY),
    (STAGING, "iam:PutRolePolicy", ROLE, BOUNDARY),
    (STAGING, "iam:AttachRolePolicy", ROLE, BOUNDARY | {"iam__PolicyARN": KNOWN_POLICY}),
    (STAGING, "iam:PassRole", ROLE, {"iam__PassedToService": "eks.amazonaws.com"}),
    (STAGING, "ec2:CreateVpc", f"arn:aws:ec2:{US}:vpc/*", HERE),
    (STAGING, "ec2:ModifyVpcAttribute", f"arn:aws:ec2:{US}:vpc/vpc-1", HERE | OWN),
    (STAGING, "ec2:DeleteVpc", f"arn:aws:ec2:{US}:vpc/vpc-1", HERE | OWN),
    (STAGING, "eks:CreateCluster", f"arn:aws:eks:{US}:cluster/shoutback-staging", HERE),
    (STAGING, "kms:CreateKey", "*", {"aws__RequestTag/environment": "staging"}),
    (STAGING, "kms:ScheduleKeyDeletion", f"arn:aws:kms:{US}:key/1", OWN),
    (STAGING, "logs:CreateLogGroup", f"arn:aws:logs:{US}:log-group:/aws/eks/shoutback-staging/cluster", HERE),
    (STAGING, "cloudwatch:PutMetricAlarm", f"arn:aws:cloudwatch:{US}:alarm:staging-ShoutbackReplicaDown-page", HERE),
]

FORBIDDEN = [
    (PULL, "ecr:PutImage", REPOSITORY, {}),
    (PULL, "ecr:InitiateLayerUpload", REPOSITORY, {}),
    (PULL, "ecr:BatchDeleteImage", REPOSITORY, {}),
    (PULL, "ecr:BatchGetImage", REPOSITORY.replace("/shoutback", "/other"), {}),
    (PLAN, "s3:PutObject", f"{BUCKET}/staging/terraform.tfstate", {}),
    (PLAN, "s3:GetObject", f"{BUCKET}/production/terraform.tfstate", {}),
    (PLAN, "s3:GetObject", f"{BUCKET}/bootstrap/terraform.tfstate", {}),
    (PLAN, "s3:GetObject", "arn:aws:s3:::another/object", {}),
    # Actions whose response may hold a secret: client secrets of any pool, user data, parameters and outputs of others' stacks,
    # endpoints with keys of others' topics, environment variables.
    (PLAN, "cognito-idp:DescribeUserPoolClient", f"arn:aws:cognito-idp:{US}:userpool/other", HERE),
    (PLAN, "cognito-idp:DescribeUserPoolClient", f"arn:aws:cognito-idp:{US}:userpool/own", HERE | OWN),
    (PLAN, "cognito-idp:DescribeIdentityProvider", f"arn:aws:cognito-idp:{US}:userpool/own", HERE | OWN),
    (PLAN, "cognito-idp:DescribeUserPool", f"arn:aws:cognito-idp:{US}:userpool/other", HERE),
    (PLAN, "ec2:DescribeInstanceAttribute", f"arn:aws:ec2:{US}:instance/i-1", HERE),
    (PLAN, "ec2:DescribeLaunchTemplateVersions", "*", HERE),
    (PLAN, "ec2:GetLaunchTemplateData", f"arn:aws:ec2:{US}:instance/i-1", HERE),
    (PLAN, "ec2:GetConsoleOutput", f"arn:aws:ec2:{US}:instance/i-1", HERE),
    (PLAN, "autoscaling:DescribeLaunchConfigurations", "*", HERE),
    (PLAN, "cloudformation:DescribeStacks", f"arn:aws:cloudformation:{US}:stack/other/1", HERE),
    (PLAN, "cloudformation:GetTemplate", f"arn:aws:cloudformation:{US}:stack/shoutback-production-clients/1", HERE),
    (PLAN, "sns:ListSubscriptionsByTopic", f"arn:aws:sns:{US}:other", HERE),
    (PLAN, "lambda:GetFunction", "*", HERE),
    (PLAN, "ecs:DescribeTaskDefinition", "*", HERE),
    (PLAN, "secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:{US}:secret:shoutback-staging-machine-client-AbCdEf", HERE),
    (PLAN, "ssm:GetParameter", "*", HERE),
    (PLAN, "logs:GetLogEvents", f"arn:aws:logs:{US}:log-group:/shoutback/shoutback-staging/service", HERE),
    # Another environment, another region.
    (PLAN, "eks:DescribeCluster", f"arn:aws:eks:{US}:cluster/shoutback-production", HERE),
    (PLAN, "eks:DescribeCluster", f"arn:aws:eks:eu-west-1:{ACCOUNT}:cluster/shoutback-staging", {"aws__RequestedRegion": "eu-west-1"}),
    (PLAN, "ec2:DescribeVpcs", "*", {"aws__RequestedRegion": "eu-west-1"}),
    (PLAN, "iam:GetRole", f"arn:aws:iam::{ACCOUNT}:role/administrator", {}),
    (PLAN, "ec2:CreateTags", "*", HERE),
    (PLAN, "ecr:BatchGetImage", REPOSITORY, {}),
    (PLAN, "kms:Encrypt", STATE_KEY, OF_STATE),
    (PLAN, "kms:Decrypt", STATE_KEY, {}),
    (PLAN, "kms:Decrypt", f"arn:aws:kms:{US}:key/1", OWN),
    (PRODUCTION_PLAN, "s3:GetObject", f"{BUCKET}/staging/terraform.tfstate", {}),
    (BOOTSTRAP_PLAN, "s3:GetObject", f"{BUCKET}/production/terraform.tfstate", {}),
    (BOOTSTRAP_PLAN, "s3:GetObject", "arn:aws:s3:::shoutback-trail-111122223333/AWSLogs/1", {}),
    (BOOTSTRAP_PLAN, "s3:PutObject", f"{BUCKET}/bootstrap/terraform.tfstate", {}),
    (BOOTSTRAP_PLAN, "cognito-idp:DescribeUserPoolClient", "*", {}),
    (BOOTSTRAP_PLAN, "guardduty:GetFindings", "*", {}),
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
    (STAGING, "ec2:RunInstances", f"arn:aws:ec2:{US}:instance/*", HERE),
    (STAGING, "iam:PutRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/{PLAN}", BOUNDARY),
    (STAGING, "iam:UpdateAssumeRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/{PLAN}", {}),
    (STAGING, "cognito-idp:DescribeUserPoolClient", f"arn:aws:cognito-idp:{US}:userpool/other", HERE),
    (STAGING, "secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:{US}:secret:shoutback-production-machine-client-AbCdEf", HERE),
    (STAGING, "elasticache:DeleteReplicationGroup", f"arn:aws:elasticache:{US}:replicationgroup:shoutback-production-valkey", HERE),
    (STAGING, "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/shoutback-production-node", {"iam__PassedToService": "eks.amazonaws.com"}),
    (STAGING, "iam:UpdateAssumeRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/{STAGING}", {}),
    (STAGING, "iam:PutRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/{STAGING}", BOUNDARY),
    (STAGING, "iam:CreatePolicyVersion", f"arn:aws:iam::{ACCOUNT}:policy/shoutback-staging-boundary", {}),
    (STAGING, "iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/shoutback-staging-me", {}),
    (STAGING, "iam:UpdateOpenIDConnectProviderThumbprint", "*", {}),
    (STAGING, "sts:AssumeRole", "*", {}),
    (STAGING, "ec2:CreateVpc", f"arn:aws:ec2:us-east-1:{ACCOUNT}:vpc/*", {"aws__RequestedRegion": "us-east-1"}),
    (STAGING, "ec2:DeleteVpc", f"arn:aws:ec2:{US}:vpc/vpc-1", HERE | OTHER_ENVIRONMENT),
    (STAGING, "ec2:DeleteVpc", f"arn:aws:ec2:{US}:vpc/vpc-1", HERE),
    (STAGING, "ec2:CreateTags", f"arn:aws:ec2:{US}:vpc/vpc-1", HERE | OTHER_ENVIRONMENT),
    (STAGING, "ec2:RevokeSecurityGroupIngress", f"arn:aws:ec2:{US}:security-group/sg-1", HERE | OTHER_ENVIRONMENT),
    (STAGING, "eks:DeleteCluster", f"arn:aws:eks:{US}:cluster/shoutback-production", HERE),
    (STAGING, "eks:CreateAccessEntry", f"arn:aws:eks:{US}:cluster/shoutback-production", HERE),
    (STAGING, "kms:ScheduleKeyDeletion", f"arn:aws:kms:{US}:key/1", OTHER_ENVIRONMENT),
    (STAGING, "kms:PutKeyPolicy", f"arn:aws:kms:{US}:key/1", {}),
    (STAGING, "kms:Decrypt", f"arn:aws:kms:{US}:key/1", OWN),
    (STAGING, "kms:CreateGrant", f"arn:aws:kms:{US}:key/1", OTHER_ENVIRONMENT),
    (STAGING, "kms:TagResource", f"arn:aws:kms:{US}:key/1", OTHER_ENVIRONMENT | {"aws__RequestTag/environment": "staging"}),
    (STAGING, "kms:TagResource", f"arn:aws:kms:{US}:key/1", {"aws__ResourceTag/environment": "bootstrap", "aws__RequestTag/environment": "staging"}),
    (STAGING, "ec2:AuthorizeSecurityGroupIngress", f"arn:aws:ec2:{US}:security-group/sg-1", HERE | {"aws__ResourceTag/aws:eks:cluster-name": "shoutback-production"}),
    (STAGING, "ec2:CreateTags", f"arn:aws:ec2:{US}:security-group/sg-1", HERE | {"aws__ResourceTag/eks:eks-cluster-name": "shoutback-production"}),
    (STAGING, "cloudwatch:PutMetricAlarm", f"arn:aws:cloudwatch:{US}:alarm:production-ShoutbackReplicaDown-page", HERE),
    (STAGING, "cloudwatch:PutCompositeAlarm", f"arn:aws:cloudwatch:{US}:alarm:production-ShoutbackReplicaDown-page", HERE),
    (STAGING, "sns:SetTopicAttributes", f"arn:aws:sns:{US}:shoutback-production-page", HERE),
    (STAGING, "logs:DeleteLogGroup", f"arn:aws:logs:{US}:log-group:/aws/eks/shoutback-production/cluster", HERE),
    (STAGING, "cloudwatch:DeleteAlarms", f"arn:aws:cloudwatch:{US}:alarm:production-ShoutbackReplicaDown-page", HERE),
    (STAGING, "cognito-idp:DeleteUserPool", f"arn:aws:cognito-idp:{US}:userpool/1", OTHER_ENVIRONMENT),
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
    created = {resource.type for run in everything["environment"].values() for resource in run.resources}
    # Only in the first installation, and for the deletion.
    assert created | {"aws_eks_access_policy_association"} == CALLS.keys()
    denied = [f"{kind}: {action} on {resource} with {context}" for kind, calls in CALLS.items() for action, resource, context in calls if not allowed(roles[STAGING][1], action, resource, keys=context)]
    assert denied == []


def minutes(text):
    return int(text.removesuffix("m"))


def test_credentials_last_longer_than_the_longest_apply(run, everything):
    """A role's session ends in the middle of an apply: the state lacks what was done since, and stays locked."""
    [cluster] = {tuple(sorted(resource.values["timeouts"].items())) for run in everything["environment"].values() for resource in run.all("aws_eks_cluster")}
    # Twenty minutes for everything else: NAT gateways, the add-on, a replication group.
    longest = (max(minutes(limit) for _, limit in cluster) + 20) * 60
    sessions = {role.values["name"]: role.values["max_session_duration"] for role in run.all("aws_iam_role")}
    jobs = yaml.safe_load((ROOT / ".github/workflows/terraform.yml").read_text())["jobs"]
    [credentials] = [step["with"] for step in jobs["apply"]["steps"] if "configure-aws-credentials" in step.get("uses", "")]
    assert longest <= int(credentials["role-duration-seconds"]) <= sessions[STAGING] == sessions["shoutback-production-apply"]
    assert jobs["apply"]["timeout-minutes"] * 60 <= int(credentials["role-duration-seconds"])
    # Others are for minutes.
    assert {session for name, session in sessions.items() if not name.endswith("-apply")} == {3600}


def test_reads_do_not_write(roles):
    reads = ("Describe", "Get", "List", "Decrypt", "View")
    for policy in roles[PLAN][1] + roles[PRODUCTION_PLAN][1] + roles[BOOTSTRAP_PLAN][1]:
        for statement in statements(policy):
            assert all(action.split(":")[1].startswith(reads) for action in actions(statement)), statement["Sid"]


@pytest.fixture
def boundaries(run):
    return {policy.values["name"].split("-")[1]: json.loads(policy.values["policy"]) for policy in run.all("aws_iam_policy") if policy.name == "boundary"}


def test_the_boundary_prevents_escalation(boundaries):
    for boundary in boundaries.values():
        for action in ["iam:CreateRole", "iam:PutRolePolicy", "sts:AssumeRole", "s3:GetObject", "lambda:InvokeFunction", "ec2:AssociateIamInstanceProfile"]:
            assert not allowed([boundary], action, **HERE), action
    staging = [boundaries["staging"]]
    # Auto Mode hands the role of the nodes to nodes, and no other.
    assert allowed(staging, "iam:PassRole", ROLE, **HERE)
    for role in ("administrator", "shoutback-staging-cluster", "shoutback-production-node"):
        assert not allowed(staging, "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/{role}", **HERE)
    assert allowed(staging, "iam:AddRoleToInstanceProfile", f"arn:aws:iam::{ACCOUNT}:instance-profile/eks-us-east-2-shoutback-staging-1", **HERE)
    assert not allowed(staging, "iam:AddRoleToInstanceProfile", f"arn:aws:iam::{ACCOUNT}:instance-profile/bastion", **HERE)
    secret = f"arn:aws:secretsmanager:{US}:secret"
    assert allowed(staging, "secretsmanager:GetSecretValue", f"{secret}:shoutback-staging-valkey-AbCdEf")
    assert not allowed(staging, "secretsmanager:GetSecretValue", f"{secret}:shoutback-production-valkey-AbCdEf")
    assert not allowed(staging, "secretsmanager:GetSecretValue", f"{secret}:other")


# Actions of AWS' managed policies for Auto Mode (versions of 2026-02 to 2026-08) that this cluster uses: nodes, volumes, network load
# balancers. Not: web ACLs, Shield, trunk interfaces, application load balancers.
AUTO_MODE = """
    ec2:CreateFleet ec2:RunInstances ec2:CreateLaunchTemplate ec2:CreateTags ec2:AttachVolume ec2:DetachVolume ec2:ModifyVolume ec2:CreateVolume
    ec2:CreateSnapshot ec2:CreateNetworkInterface ec2:AttachNetworkInterface ec2:DetachNetworkInterface ec2:AssignPrivateIpAddresses
    ec2:UnassignPrivateIpAddresses ec2:ModifyNetworkInterfaceAttribute ec2:CreateSecurityGroup ec2:AuthorizeSecurityGroupIngress
    ec2:RevokeSecurityGroupIngress ec2:DescribeSubnets ec2:GetSecurityGroupsForVpc elasticloadbalancing:CreateLoadBalancer
    elasticloadbalancing:CreateTargetGroup elasticloadbalancing:CreateListener elasticloadbalancing:AddTags elasticloadbalancing:RegisterTargets
    elasticloadbalancing:ModifyLoadBalancerAttributes elasticloadbalancing:SetSecurityGroups elasticloadbalancing:SetSubnets
    elasticloadbalancing:ModifyTargetGroup elasticloadbalancing:ModifyTargetGroupAttributes elasticloadbalancing:ModifyListener
    elasticloadbalancing:ModifyListenerAttributes elasticloadbalancing:DescribeTargetGroups kms:DescribeKey eks-auth:AssumeRoleForPodIdentity
    ecr:GetAuthorizationToken ecr:BatchGetImage ecr:GetDownloadUrlForLayer ecr:BatchImportUpstreamImage
""".split()


def test_auto_mode_works_within_the_boundary(boundaries):
    for action in AUTO_MODE:
        assert allowed([boundaries["staging"]], action, **HERE), action
    service = f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/elasticloadbalancing.amazonaws.com/AWSServiceRoleForElasticLoadBalancing"
    assert allowed([boundaries["staging"]], "iam:CreateServiceLinkedRole", service, iam__AWSServiceName="elasticloadbalancing.amazonaws.com")


OTHER_ENVIRONMENTS = ["environment", "aws:eks:cluster-name", "eks:eks-cluster-name", "KubernetesCluster"]


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
        if folder in ("bootstrap", FOLDER, "modules/environment-roles", "modules/guard-rails"):
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
        if folder not in ("bootstrap", FOLDER, "modules/environment-roles", "modules/guard-rails")
        for run in runs.values()
        for resource in run.all("aws_iam_role_policy_attachment")
    }
    assert attached
    for arn in attached:
        assert allowed(roles[STAGING][1], "iam:AttachRolePolicy", ROLE, **BOUNDARY, iam__PolicyARN=arn), arn
