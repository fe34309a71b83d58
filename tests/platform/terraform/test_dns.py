"""Permissions of the cluster's controllers in AWS: the host's records, and its ACME challenge."""

import json

import pytest
from iam import allowed

FOLDER = "modules/dns"
ACCOUNT = "111122223333"
ZONE = "arn:aws:route53:::hostedzone/Z0EXAMPLE"
NAMES = "route53:ChangeResourceRecordSetsNormalizedRecordNames"
TYPES = "route53:ChangeResourceRecordSetsRecordTypes"
PODS = {
    "certificates": ("cert-manager", "cert-manager"),
    "records": ("external-dns", "external-dns"),
}


@pytest.fixture
def run(tested):
    return tested["dns/host_in_zone"]


@pytest.fixture
def is_allowed(run):
    policies = {policy.values["name"]: json.loads(policy.values["policy"]) for policy in run.all("aws_iam_role_policy")}
    return lambda name, action, resource, **keys: allowed([policies[name]], action, resource, keys=keys.get("keys", {}))


@pytest.mark.parametrize("name", PODS)
def test_a_role_is_only_for_its_pods(run, name):
    namespace, account = PODS[name]
    [role] = [role.values for role in run.all("aws_iam_role") if role.values["name"] == f"shoutback-production-{name}"]
    [association] = [association.values for association in run.all("aws_eks_pod_identity_association") if association.values["namespace"] == namespace]
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


def record(*names, types=("A",)):
    return {NAMES: list(names), TYPES: list(types)}


CHANGE = "route53:ChangeResourceRecordSets"


@pytest.mark.parametrize(
    ("keys", "passes"),
    [
        (record("api.shoutback.example.com"), True),
        (record("tools.shoutback.example.com", "cname-tools.shoutback.example.com", types=["A", "TXT"]), True),
        (record("api.shoutback.example.com", "a-api.shoutback.example.com", types=["A", "TXT"]), True),
        (record("example.com"), False),
        (record("api.shoutback.example.com", "example.com"), False),
        (record("api.shoutback.example.com", types=["NS"]), False),
        (record("_acme-challenge.api.shoutback.example.com", types=["TXT"]), False),
        ({TYPES: ["A"]}, False),
        ({NAMES: ["api.shoutback.example.com"]}, False),
        ({}, False),
    ],
)
def test_external_dns_changes_only_the_hosts_records(is_allowed, keys, passes):
    assert is_allowed("records", CHANGE, ZONE, keys=keys) == passes
    assert not is_allowed("records", CHANGE, ZONE.replace("EXAMPLE", "OTHER"), keys=keys)


@pytest.mark.parametrize(
    ("keys", "passes"),
    [
        (record("_acme-challenge.api.shoutback.example.com", types=["TXT"]), True),
        (record("_acme-challenge.tools.shoutback.example.com", types=["TXT"]), True),
        (record("_acme-challenge.api.shoutback.example.com", types=["CNAME"]), False),
        (record("_acme-challenge.shoutback.example.com", types=["TXT"]), False),
        (record("api.shoutback.example.com"), False),
        ({}, False),
    ],
)
def test_cert_manager_changes_only_the_hosts_challenge(is_allowed, keys, passes):
    assert is_allowed("certificates", CHANGE, ZONE, keys=keys) == passes
    assert is_allowed("certificates", "route53:GetChange", "arn:aws:route53:::change/C1")
    # So its issuer must name the zone.
    assert not is_allowed("certificates", "route53:ListHostedZonesByName", "*")
