"""Every resource of every folder: encrypted by one of our keys if it stores data, and not open to the world."""

import ipaddress

import pytest
from folders import FOLDERS

# Types that store data, and their configuration of encryption.
ENCRYPTED = {
    "aws_cloudwatch_log_group": lambda values: values["kms_key_id"],
    "aws_ecr_repository": lambda values: values["encryption_configuration"][0]["encryption_type"] == "KMS" and values["encryption_configuration"][0]["kms_key"],
    "aws_eks_cluster": lambda values: "secrets" in values["encryption_config"][0]["resources"] and values["encryption_config"][0]["provider"][0]["key_arn"],
    "aws_kms_key": lambda values: values["enable_key_rotation"],
    "aws_s3_bucket_server_side_encryption_configuration": lambda values: all(
        default["sse_algorithm"] == "aws:kms" and default["kms_master_key_id"]
        for rule in values["rule"]
        for default in rule["apply_server_side_encryption_by_default"]
    ),
    "aws_sns_topic": lambda values: values["kms_master_key_id"],
    "aws_cloudtrail": lambda values: values["kms_key_id"],
    "aws_elasticache_replication_group": lambda values: values["kms_key_id"] and values["transit_encryption_mode"] == "required",
    "aws_ebs_encryption_by_default": lambda values: values["enabled"] is not False,
}

# Types that store nothing, or that Amazon always encrypts with its own keys. A type in neither table is a failure, so that each new
# type is decided on.
NOTHING_TO_ENCRYPT = {
    "aws_budgets_budget",
    "aws_ce_anomaly_monitor",
    "aws_ce_anomaly_subscription",
    "aws_cloudformation_stack",
    "aws_cloudwatch_dashboard",
    "aws_cloudwatch_event_rule",
    "aws_cloudwatch_event_target",
    "aws_cloudwatch_log_metric_filter",
    "aws_cloudwatch_log_resource_policy",
    "aws_cloudwatch_metric_alarm",
    "aws_cloudwatch_query_definition",
    "aws_cognito_managed_login_branding",
    "aws_cognito_resource_server",
    "aws_cognito_user_group",
    "aws_cognito_user_pool",
    "aws_cognito_user_pool_domain",
    "aws_default_security_group",
    "aws_ec2_instance_metadata_defaults",
    "aws_ecr_lifecycle_policy",
    "aws_ecr_pull_through_cache_rule",
    "aws_ecr_repository_creation_template",
    "aws_ecr_repository_policy",
    "aws_eip",
    "aws_eks_access_entry",
    "aws_eks_access_policy_association",
    "aws_eks_addon",
    "aws_eks_pod_identity_association",
    "aws_elasticache_subnet_group",
    "aws_flow_log",
    "aws_guardduty_detector",
    "aws_iam_openid_connect_provider",
    "aws_iam_policy",
    "aws_iam_role",
    "aws_iam_role_policy",
    "aws_iam_role_policy_attachment",
    "aws_internet_gateway",
    "aws_kms_alias",
    "aws_nat_gateway",
    "aws_route",
    "aws_route53_record",
    "aws_route53_zone",
    "aws_route_table",
    "aws_route_table_association",
    "aws_s3_account_public_access_block",
    "aws_s3_bucket",
    "aws_s3_bucket_lifecycle_configuration",
    "aws_s3_bucket_ownership_controls",
    "aws_s3_bucket_policy",
    "aws_s3_bucket_public_access_block",
    "aws_s3_bucket_versioning",
    "aws_security_group",
    "aws_sns_topic_policy",
    "aws_sns_topic_subscription",
    "aws_subnet",
    "aws_vpc",
    "aws_vpc_endpoint",
    "aws_vpc_security_group_ingress_rule",
}

# Resources that a bucket, a network or a role requires.
COMPANIONS = {
    "aws_s3_bucket": ["aws_s3_bucket_server_side_encryption_configuration", "aws_s3_bucket_public_access_block", "aws_s3_bucket_policy", "aws_s3_bucket_versioning"],
    "aws_vpc": ["aws_flow_log", "aws_default_security_group"],
}


def complaints(runs):
    """Yields the faults of the resources in a folder's runs."""
    for name, run in runs.items():
        kinds = {resource.type for resource in run.resources}
        for resource in run.resources:
            # Rejected configurations are planned only up to the rejection.
            missing = [] if name.partition("/")[2].startswith("refused") else unfinished(resource, kinds)
            for complaint in [*unencrypted(resource), *open_to_the_world(resource), *missing]:
                yield f"{name}: {resource.address}: {complaint}"


def unencrypted(resource):
    if resource.type in ENCRYPTED:
        if not ENCRYPTED[resource.type](_default(resource.values)):
            yield "is not encrypted"
    elif resource.type not in NOTHING_TO_ENCRYPT:
        yield f"{resource.type} is neither in ENCRYPTED nor in NOTHING_TO_ENCRYPT"


class _default(dict):
    """Missing blocks are empty."""

    def __getitem__(self, name):
        value = self.get(name)
        return [_Nothing()] if value == [] and name != "rule" else value


class _Nothing:
    def __getitem__(self, name):
        return [] if name == "resources" else None


def open_to_the_world(resource):
    values = resource.values
    if resource.type == "aws_eks_cluster":
        configuration = values["vpc_config"][0]
        if configuration["endpoint_public_access"] and any(map(wide, configuration["public_access_cidrs"] or ["0.0.0.0/0"])):
            yield "its API server is open to the world"
    if resource.type == "aws_vpc_security_group_ingress_rule" and (values["cidr_ipv6"] or (values["cidr_ipv4"] and wide(values["cidr_ipv4"]))):
        yield "is open to the world"
    if resource.type in ("aws_security_group", "aws_default_security_group") and any(
        wide(cidr) for rule in values["ingress"] or [] for cidr in [*rule["cidr_blocks"], *rule["ipv6_cidr_blocks"]]
    ):
        yield "is open to the world"
    if resource.type == "aws_subnet" and values["map_public_ip_on_launch"] is not False:
        yield "assigns public addresses to instances"
    if resource.type == "aws_s3_bucket_public_access_block" and not all(
        values[name] for name in ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")
    ):
        yield "the bucket could become public"


def wide(cidr):
    network = ipaddress.ip_network(cidr)
    return network.version == 6 or network.prefixlen < 16 and not network.is_private


def unfinished(resource, kinds):
    for companion in COMPANIONS.get(resource.type, []):
        if companion not in kinds:
            yield f"has no {companion}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_are_encrypted_and_closed(folder, tested):
    assert list(complaints(tested)) == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_roles_have_the_boundary(folder, tested):
    """The pipeline cannot create other roles. Those of the bootstrap are an exception."""
    if folder in ("bootstrap", "modules/github-oidc", "modules/environment-roles", "modules/guard-rails"):
        assert all(role.values["permissions_boundary"] is None for run in tested.values() for role in run.all("aws_iam_role"))
        return
    for name, run in tested.items():
        roles = run.all("aws_iam_role")
        bounded = {role.values["permissions_boundary"] for role in roles}
        assert len(bounded) <= 1, f"{name}: {bounded}"
