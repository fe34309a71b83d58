"""Every policy of every folder: no principal is a wildcard, and every permission is limited."""

import re

import pytest
from folders import FOLDERS
from iam import actions, conditions, policies, principals, statements, targets

# Statements without a resource, and why: type and attribute of the resource, and the statement's Sid.
UNNAMED = {
    ("aws_kms_key.policy", "AccountAdministers"): "in a key's policy, * is that key",
    ("aws_kms_key.policy", "EncryptBudgets"): "in a key's policy, * is that key",
    ("aws_kms_key.policy", "EncryptCloudtrail"): "in a key's policy, * is that key",
    ("aws_kms_key.policy", "EncryptCloudwatch"): "in a key's policy, * is that key",
    ("aws_kms_key.policy", "EncryptCostalerts"): "in a key's policy, * is that key",
    ("aws_kms_key.policy", "EncryptEvents"): "in a key's policy, * is that key",
    ("aws_kms_key.policy", "EncryptLogs"): "in a key's policy, * is that key",
    ("aws_kms_key.policy", "ServicesKeepGrants"): "in a key's policy, * is that key",
    ("aws_iam_policy.policy", "ReadNetworks"): "lists and descriptions that do not support resources; limited to the region",
    ("aws_iam_policy.policy", "ReadGlobal"): "names of zones and of Cognito's domains, which are public",
    ("aws_iam_policy.policy", "BoundaryOfZones"): "a boundary grants nothing: it limits the permissions of roles",
    ("aws_iam_policy.policy", "Boundary"): "a boundary grants nothing: it limits the permissions of roles",
    ("aws_iam_policy.policy", "CompositeAlarms"): "required by the API; other environments' alarms are denied, and it is limited to the region",
    ("aws_iam_policy.policy", "NamesOfEndpoints"): "the zones of endpoints are Amazon's",
    ("aws_iam_policy.policy", "NewPasswords"): "makes a random text; does not support resources",
    ("aws_iam_policy.policy", "Subscriptions"): "subscriptions are not IAM resources; limited to the region",
    ("aws_iam_policy.policy", "CreateNetworks"): "new resources have no name yet; limited to the region and to resources without another environment's tag",
    ("aws_iam_policy.policy", "DeleteOwnNetworks"): "AWS chooses the ids; limited to the environment's tag",
    ("aws_iam_policy.policy", "CreateKeys"): "AWS chooses the ids; limited to the environment's tag",
    ("aws_iam_policy.policy", "CreateUserPools"): "AWS chooses the ids; limited to the environment's tag",
    ("aws_iam_policy.policy", "LogQueries"): "does not support resources; limited to the region",
    ("aws_iam_role_policy.policy", "ReadConfiguration"): "most read actions do not support resources",
    ("aws_iam_role_policy.policy", "LogIn"): "ecr:GetAuthorizationToken does not support resources",
    ("aws_iam_role_policy.policy", "SendSpans"): "X-Ray's write actions do not support resources; limited to the region",
    ("aws_iam_role_policy.policy", "SendMetrics"): "does not support resources; limited to the region or to namespaces",
    ("aws_iam_role_policy.policy", "DescribeNodes"): "EC2's describe actions do not support resources; limited to the region",
    ("aws_iam_role_policy.policy", "FindGroup"): "listing log groups does not support resources; limited to the region",
    ("aws_iam_role_policy.policy", "FindZones"): "listing zones does not support resources",
    ("aws_vpc_endpoint.policy", "OwnAccount"): "an endpoint's policy grants nothing: it limits requests to the account",
}

# Statements that trust every principal, and why: an endpoint's policy limits requests and grants nothing by itself.
ANYONE = {
    ("aws_vpc_endpoint.policy", "OwnAccount"): "limited to principals of the account",
    ("aws_vpc_endpoint.policy", "ReadNamedBuckets"): "limited to reading Amazon's public buckets of image layers, by addresses that another account signs",
}

# A complete action, or all read actions of one kind.
ACTION = re.compile(r"[a-z0-9-]+:([A-Z][A-Za-z0-9]+|(Describe|Get|List)[A-Za-z0-9]*\*)")

# Read actions on more than configuration: secrets and data.
SECRETS = ("s3:Get", "secretsmanager:", "ssm:Get", "dynamodb:", "sts:")


def key(resource, attribute, statement):
    return f"{resource.type}.{attribute}", statement.get("Sid")


# Types whose attribute `policy` is not checked for absence: buckets and topics have separate policy resources, and ECR's lifecycle
# policy is not an IAM policy.
HOLDERS = {"policy", "assume_role_policy", "policy_document"}
UNCHECKED = {"aws_s3_bucket", "aws_sns_topic", "aws_ecr_lifecycle_policy"}


def unread(resource, read):
    """Yields attributes whose policy is missing, so that AWS uses its default, or unknown, so that it cannot be checked here."""
    if resource.type not in UNCHECKED:
        yield from sorted((HOLDERS & resource.values.keys()) - read)


def complaints(runs):
    """Yields the faults of the policies in a folder's runs."""
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
        yield "a statement without a Sid"
    if statement["Effect"] != "Allow":
        return
    if {"NotAction", "NotResource", "NotPrincipal"} & statement.keys():
        yield "uses NotAction, NotResource or NotPrincipal"
    statement_key = key(resource, attribute, statement)
    if any("*" in name for _, name in principals(statement)) and statement_key not in ANYONE:
        yield "trusts every principal"
    for action in actions(statement):
        if not ACTION.fullmatch(action):
            yield f"{action} is not limited"
        if "*" in action and action.startswith(SECRETS):
            yield f"{action} reads more than configuration"
    if any(target == "*" or re.fullmatch(r"arn:[^:]*:[^:]*:[^:]*:[^:]*:\*", target) for target in targets(statement)) and statement_key not in UNNAMED:
        yield "its resource is a wildcard"
    if "*" in targets(statement) and attribute == "assume_role_policy":
        yield "a trust policy must not have a resource"
    required = {condition_key for operator, condition_key, values in conditions(statement) if operator == "Null" and values == ["false"]}
    for operator, condition_key, values in conditions(statement):
        if operator.startswith("ForAllValues") and condition_key not in required:
            yield f"{condition_key}: is true if the key is absent"
        if condition_key.endswith((":sub", ":aud", ":ref")) and (operator != "StringEquals" or any("*" in value or "?" in value for value in values)):
            yield f"{condition_key} is not compared exactly"
    for kind, who in principals(statement):
        if kind == "Federated" and not {":aud", ":sub"} <= {condition_key[condition_key.rfind(":") :] for _, condition_key, _ in conditions(statement)}:
            yield f"{who}: subject and audience are required"


@pytest.mark.parametrize("folder", FOLDERS)
def test_are_bounded(folder, tested):
    assert list(complaints(tested)) == []


# AWS' limits of characters without whitespace, by the type of the resource.
LIMITS = {"aws_iam_policy": 6144, "aws_iam_role_policy": 10240}


@pytest.mark.parametrize("folder", FOLDERS)
def test_of_iam_fit_into_what_aws_takes(folder, tested):
    """With a reserve of a tenth, so that the next action does not break an installation with longer names: environment-roles has a run
    with the longest that its variables permit."""
    for run in tested.values():
        for resource, attribute, policy in policies(run.resources):
            limit = 2048 if attribute == "assume_role_policy" else LIMITS.get(resource.type, 20480)
            assert len(re.sub(r"\s", "", resource.values[attribute])) <= 0.9 * limit, resource.address


def test_every_exception_is_used(everything):
    used = set()
    for runs in everything.values():
        for run in runs.values():
            for resource, attribute, policy in policies(run.resources):
                used |= {key(resource, attribute, statement) for statement in statements(policy)}
    assert (UNNAMED.keys() | ANYONE.keys()) <= used
