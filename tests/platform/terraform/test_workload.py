"""Permissions of the cluster's controllers in AWS: the host's records, its ACME challenge, their own load balancers."""

import json

import pytest
from iam import allowed

FOLDER = "modules/workload"
ACCOUNT = "111122223333"
ZONE = "arn:aws:route53:::hostedzone/Z0PRODUCTION"
NAMES = "route53:ChangeResourceRecordSetsNormalizedRecordNames"
TYPES = "route53:ChangeResourceRecordSetsRecordTypes"
ELB = f"arn:aws:elasticloadbalancing:us-east-2:{ACCOUNT}"
EC2 = f"arn:aws:ec2:us-east-2:{ACCOUNT}"
TAG = "elbv2.k8s.aws/cluster"
PODS = {
    "certificates": ("cert-manager", "cert-manager"),
    "load-balancers": ("kube-system", "aws-load-balancer-controller"),
    "records": ("external-dns", "external-dns"),
}


@pytest.fixture
def run(tested):
    return tested["workload/by_the_cluster"]


@pytest.fixture
def is_allowed(run):
    policies = {policy.index: json.loads(policy.values["policy"]) for policy in run.all("aws_iam_role_policy")}
    return lambda name, action, resource, **keys: allowed([policies[name]], action, resource, keys=keys.get("keys", {}))


@pytest.mark.parametrize("name", PODS)
def test_a_role_is_only_for_its_pods(run, name):
    namespace, account = PODS[name]
    [role] = [role.values for role in run.all("aws_iam_role") if role.index == name]
    [association] = [association.values for association in run.all("aws_eks_pod_identity_association") if association.index == name]
    assert (association["namespace"], association["service_account"], association["cluster_name"]) == (namespace, account, "shoutback-production")
    trust = json.loads(role["assume_role_policy"])
    own = {
        "aws:SourceAccount": ACCOUNT,
        "aws:SourceArn": f"arn:aws:eks:us-east-2:{ACCOUNT}:cluster/shoutback-production",
        "aws:RequestTag/kubernetes-namespace": namespace,
        "aws:RequestTag/kubernetes-service-account": account,
    }
    assert allowed([trust], "sts:AssumeRole", principal="pods.eks.amazonaws.com", keys=own)
    for key in own:
        assert not allowed([trust], "sts:AssumeRole", principal="pods.eks.amazonaws.com", keys=own | {key: "another"})


def test_roles_of_other_modules_are_associated(tested):
    associations = {association.index: association.values for association in tested["workload/example"].all("aws_eks_pod_identity_association")}
    assert associations["collector"]["role_arn"] == "arn:aws:iam::111122223333:role/shoutback-staging-collector"
    assert (associations["collector"]["namespace"], associations["collector"]["service_account"]) == ("monitoring", "otel-collector")


def record(*names, types=("A",)):
    return {NAMES: list(names), TYPES: list(types)}


CHANGE = "route53:ChangeResourceRecordSets"


@pytest.mark.parametrize(
    ("keys", "passes"),
    [
        (record("api.example.com"), True),
        (record("api.example.com", "a-api.example.com", types=["A", "TXT"]), True),
        (record("example.com"), False),
        (record("api.example.com", "example.com"), False),
        (record("api.example.com", types=["NS"]), False),
        (record("_acme-challenge.api.example.com", types=["TXT"]), False),
        ({TYPES: ["A"]}, False),
        ({NAMES: ["api.example.com"]}, False),
        ({}, False),
    ],
)
def test_external_dns_changes_only_the_hosts_records(is_allowed, keys, passes):
    assert is_allowed("records", CHANGE, ZONE, keys=keys) == passes
    assert not is_allowed("records", CHANGE, ZONE.replace("PRODUCTION", "STAGING"), keys=keys)


@pytest.mark.parametrize(
    ("keys", "passes"),
    [
        (record("_acme-challenge.api.example.com", types=["TXT"]), True),
        (record("_acme-challenge.api.example.com", types=["CNAME"]), False),
        (record("_acme-challenge.example.com", types=["TXT"]), False),
        (record("api.example.com"), False),
        ({}, False),
    ],
)
def test_cert_manager_changes_only_the_hosts_challenge(is_allowed, keys, passes):
    assert is_allowed("certificates", CHANGE, ZONE, keys=keys) == passes
    assert is_allowed("certificates", "route53:GetChange", "arn:aws:route53:::change/C1")
    # So its issuer must name the zone.
    assert not is_allowed("certificates", "route53:ListHostedZonesByName", "*")


OWN = {f"aws:ResourceTag/{TAG}": "shoutback-production"}
OTHER = {f"aws:ResourceTag/{TAG}": "shoutback-staging"}
NEW = {f"aws:RequestTag/{TAG}": "shoutback-production"}
NEW_OTHER = {f"aws:RequestTag/{TAG}": "shoutback-staging"}
BALANCER = f"{ELB}:loadbalancer/net/shoutback-production/1"

ALLOWED = [
    ("elasticloadbalancing:DescribeLoadBalancers", "*", {"aws:RequestedRegion": "us-east-2"}),
    ("elasticloadbalancing:CreateLoadBalancer", BALANCER, NEW),
    ("elasticloadbalancing:CreateTargetGroup", f"{ELB}:targetgroup/k8s-1/1", NEW),
    ("elasticloadbalancing:CreateListener", f"{ELB}:listener/net/shoutback-production/1/1", NEW),
    ("elasticloadbalancing:AddTags", BALANCER, NEW | {"elasticloadbalancing:CreateAction": "CreateLoadBalancer"}),
    ("elasticloadbalancing:AddTags", BALANCER, OWN),
    ("elasticloadbalancing:RegisterTargets", f"{ELB}:targetgroup/k8s-1/1", OWN),
    ("elasticloadbalancing:ModifyLoadBalancerAttributes", BALANCER, OWN),
    ("ec2:CreateSecurityGroup", f"{EC2}:security-group/sg-1", NEW),
    ("ec2:CreateSecurityGroup", f"{EC2}:vpc/vpc-0aaaaaaaaaaaaaaaa", {}),
    ("ec2:CreateTags", f"{EC2}:security-group/sg-1", NEW | {"ec2:CreateAction": "CreateSecurityGroup"}),
    ("ec2:AuthorizeSecurityGroupIngress", f"{EC2}:security-group/sg-1", OWN),
    ("ec2:AuthorizeSecurityGroupIngress", f"{EC2}:security-group/sg-0aaaaaaaaaaaaaaaa", {}),
]

FORBIDDEN = [
    ("elasticloadbalancing:CreateLoadBalancer", BALANCER, {}),
    ("elasticloadbalancing:CreateLoadBalancer", BALANCER, NEW_OTHER),
    ("elasticloadbalancing:CreateLoadBalancer", f"{ELB}:loadbalancer/app/shoutback/1", NEW),
    ("elasticloadbalancing:DeleteLoadBalancer", BALANCER, {}),
    ("elasticloadbalancing:DeleteLoadBalancer", BALANCER, OTHER),
    ("elasticloadbalancing:AddTags", BALANCER, NEW),
    ("elasticloadbalancing:AddTags", BALANCER, OTHER | NEW),
    ("elasticloadbalancing:AddTags", BALANCER, OWN | NEW_OTHER),
    ("elasticloadbalancing:SetWebAcl", BALANCER, OWN),
    ("ec2:CreateSecurityGroup", f"{EC2}:security-group/sg-1", {}),
    ("ec2:CreateSecurityGroup", f"{EC2}:vpc/vpc-1", NEW),
    ("ec2:CreateTags", f"{EC2}:security-group/sg-1", NEW),
    ("ec2:AuthorizeSecurityGroupIngress", f"{EC2}:security-group/sg-1", {}),
    ("ec2:AuthorizeSecurityGroupIngress", f"{EC2}:security-group/sg-1", OTHER),
    ("ec2:DeleteSecurityGroup", f"{EC2}:security-group/sg-0aaaaaaaaaaaaaaaa", {}),
    ("ec2:AuthorizeSecurityGroupEgress", f"{EC2}:security-group/sg-1", OWN),
    ("iam:CreateServiceLinkedRole", "*", {}),
]


@pytest.mark.parametrize(("action", "resource", "keys"), ALLOWED)
def test_the_load_balancer_controller_is_allowed(is_allowed, action, resource, keys):
    assert is_allowed("load-balancers", action, resource, keys=keys)


@pytest.mark.parametrize(("action", "resource", "keys"), FORBIDDEN)
def test_the_load_balancer_controller_is_denied(is_allowed, action, resource, keys):
    assert not is_allowed("load-balancers", action, resource, keys=keys)


def test_terraform_has_deletion_protection(tested):
    run = tested["workload/by_terraform"]
    [host] = [record.values for record in run.all("aws_route53_record") if record.name == "host"]
    assert host["alias"][0]["name"].startswith("shoutback-") and not host["records"]
    assert run.one("aws_acm_certificate_validation")["certificate_arn"] == run.outputs["certificate_arn"]
    assert {role.index for role in run.all("aws_iam_role")} == {"load-balancers"}
