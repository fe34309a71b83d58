"""Every policy of everything that any folder creates: nobody is trusted by a wildcard, and nothing is allowed without a bound."""

import re

import pytest
from folders import FOLDERS
from iam import actions, conditions, policies, principals, statements, targets

# Where a statement names no resource, and why it need not: type and attribute of the resource, and the statement's Sid.
UNNAMED = {
    ("aws_kms_key.policy", "AccountAdministers"): "in a key's policy, * is that key",
    ("aws_kms_key.policy", "AccountEncrypts"): "in a key's policy, * is that key",
    ("aws_kms_key.policy", "ServicesKeepGrants"): "in a key's policy, * is that key",
    ("aws_kms_key.policy", "ServiceEncrypts"): "in a key's policy, * is that key",
    ("aws_iam_policy.policy", "ReadConfiguration"): "reads, most of which know no resource",
    ("aws_iam_policy.policy", "BoundaryOfZones"): "a boundary allows nothing: it bounds what roles are allowed",
    ("aws_iam_policy.policy", "CompositeAlarms"): "the API asks for it; others' alarms are denied, and it is limited to the region",
    ("aws_iam_policy.policy", "NamesOfEndpoints"): "the zones of endpoints are Amazon's",
    ("aws_iam_policy.policy", "Subscriptions"): "subscriptions are no resources of IAM's; limited to the region",
    ("aws_iam_policy.policy", "Boundary"): "a boundary allows nothing: it bounds what roles are allowed",
    ("aws_iam_policy.policy", "MakeNetworks"): "what is made has no name yet; limited to the region and to what has no other environment's tag",
    ("aws_iam_policy.policy", "DeleteOwnNetworks"): "ids are given by AWS; limited to the environment's tag",
    ("aws_iam_policy.policy", "MakeKeys"): "ids are given by AWS; limited to the environment's tag",
    ("aws_iam_policy.policy", "MakeUserPools"): "ids are given by AWS; limited to the environment's tag",
    ("aws_iam_policy.policy", "RequestCertificates"): "ids are given by AWS; limited to the environment's tag",
    ("aws_iam_policy.policy", "LogQueries"): "knows no resource; limited to the region",
    ("aws_iam_role_policy.policy", "LogIn"): "ecr:GetAuthorizationToken knows no resource",
    ("aws_iam_role_policy.policy", "SendSpans"): "X-Ray's writes know no resource; limited to the region",
    ("aws_iam_role_policy.policy", "SendMetrics"): "knows no resource; limited to the region or to namespaces",
    ("aws_iam_role_policy.policy", "DescribeNodes"): "EC2's descriptions know no resource; limited to the region",
    ("aws_iam_role_policy.policy", "FindGroup"): "lists log groups, which knows no resource; limited to the region",
    ("aws_iam_role_policy.policy", "FindZones"): "lists zones, which knows no resource",
    ("aws_iam_role_policy.policy", "Look"): "descriptions know no resource; limited to the region",
    ("aws_vpc_endpoint.policy", "OwnAccount"): "an endpoint's policy allows nothing: it limits what passes, to the account",
}

# Statements that trust anyone, and why: an endpoint's policy limits what passes and allows nothing by itself.
ANYONE = {
    ("aws_vpc_endpoint.policy", "OwnAccount"): "limited to principals of the account",
    ("aws_vpc_endpoint.policy", "ReadNamedBuckets"): "limited to reading Amazon's public buckets of image layers, by addresses that another account signs",
}

# A whole action, or all reads of one kind.
ACTION = re.compile(r"[a-z0-9-]+:([A-Z][A-Za-z0-9]+|(Describe|Get|List)[A-Za-z0-9]*\*)")

# Reads that would read more than configuration: secrets, and what is stored.
SECRETS = ("s3:Get", "secretsmanager:", "ssm:Get", "dynamodb:", "sts:")


def key(resource, attribute, statement):
    return f"{resource.type}.{attribute}", statement.get("Sid")


# Attributes that hold a policy, but for those of S3's buckets and SNS' topics, which have resources of their own for it, and those
# of ECR, whose lifecycle is another kind of policy.
HOLDERS = {"policy", "assume_role_policy", "policy_document"}
OTHERS = {"aws_s3_bucket", "aws_sns_topic", "aws_ecr_lifecycle_policy"}


def unread(resource, read):
    """A policy that is not there, so that AWS puts its own, or that could not be read here, would be no policy to complain about."""
    if resource.type not in OTHERS:
        yield from sorted((HOLDERS & resource.values.keys()) - read)


def complaints(runs):
    """What is wrong with the policies of a folder's runs."""
    for name, run in runs.items():
        for resource in run.resources:
            for attribute in unread(resource, {attribute for _, attribute, _ in policies([resource])}):
                yield f"{name}: {resource.address}: its {attribute} is not known"
        for resource, attribute, policy in policies(run.resources):
            for statement in statements(policy):
                for complaint in wrong(resource, attribute, statement):
                    yield f"{name}: {resource.address}, {statement.get('Sid')}: {complaint}"


def wrong(resource, attribute, statement):
    if not statement.get("Sid"):
        yield "a statement without a name"
    if statement["Effect"] != "Allow":
        return
    if {"NotAction", "NotResource", "NotPrincipal"} & statement.keys():
        yield "allows what it does not name"
    place = key(resource, attribute, statement)
    if any("*" in name for _, name in principals(statement)) and place not in ANYONE:
        yield "trusts anyone"
    for action in actions(statement):
        if not ACTION.fullmatch(action):
            yield f"{action} has no bound"
        if "*" in action and action.startswith(SECRETS):
            yield f"{action} reads more than configuration"
    if any(target == "*" or re.fullmatch(r"arn:[^:]*:[^:]*:[^:]*:[^:]*:\*", target) for target in targets(statement)) and place not in UNNAMED:
        yield "names no resource"
    if "*" in targets(statement) and attribute == "assume_role_policy":
        yield "a trust has no resource"
    there = {said for operator, said, values in conditions(statement) if operator == "Null" and values == ["false"]}
    for operator, said, values in conditions(statement):
        if operator.startswith("ForAllValues") and said not in there:
            yield f"{said}: holds where the key is absent"
        if said.endswith((":sub", ":aud", ":ref")) and (operator != "StringEquals" or any("*" in value or "?" in value for value in values)):
            yield f"{said} is not compared as a whole"
    for kind, who in principals(statement):
        if kind == "Federated" and not {":aud", ":sub"} <= {said[said.rfind(":") :] for _, said, _ in conditions(statement)}:
            yield f"{who}: neither subject nor audience may be left open"


@pytest.mark.parametrize("folder", FOLDERS)
def test_are_bounded(folder, tested):
    assert list(complaints(tested)) == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_of_iam_fit_into_what_aws_takes(folder, tested):
    for run in tested.values():
        for resource, attribute, policy in policies(run.resources):
            limit = {"aws_iam_policy": 6144, "aws_iam_role_policy": 10240}.get(resource.type, 20480)
            limit = 2048 if attribute == "assume_role_policy" else limit
            assert len(re.sub(r"\s", "", resource.values[attribute])) <= limit, resource.address


def test_every_exception_is_used(everything):
    used = set()
    for runs in everything.values():
        for run in runs.values():
            for resource, attribute, policy in policies(run.resources):
                used |= {key(resource, attribute, statement) for statement in statements(policy)}
    assert (UNNAMED.keys() | ANYONE.keys()) <= used
