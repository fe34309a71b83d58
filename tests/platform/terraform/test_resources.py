"""Everything that any folder creates: encrypted by a key of ours where it keeps anything, and closed to the world."""

import ipaddress

import pytest
from folders import FOLDERS

# What keeps something, and how it says that it is encrypted.
ENCRYPTED = {
    "aws_cloudwatch_log_group": lambda values: values["kms_key_id"],
    "aws_ecr_repository": lambda values: values["encryption_configuration"][0]["encryption_type"] == "KMS" and values["encryption_configuration"][0]["kms_key"],
    "aws_eks_cluster": lambda values: "secrets" in values["encryption_config"][0]["resources"] and values["encryption_config"][0]["provider"][0]["key_arn"],
    "aws_kms_key": lambda values: values["enable_key_rotation"],
    "aws_launch_template": lambda values: values["block_device_mappings"] and all(disk["ebs"][0]["encrypted"] == "true" for disk in values["block_device_mappings"]),
    "aws_s3_bucket_server_side_encryption_configuration": lambda values: all(
        default["sse_algorithm"] == "aws:kms" and default["kms_master_key_id"]
        for rule in values["rule"]
        for default in rule["apply_server_side_encryption_by_default"]
    ),
    "aws_sns_topic": lambda values: values["kms_master_key_id"],
    "aws_ebs_encryption_by_default": lambda values: values["enabled"] is not False,
}

# What keeps nothing, or what Amazon encrypts with keys of its own and leaves no choice. A type in neither table fails: somebody
# has to decide.
NOTHING_TO_ENCRYPT = {
    "aws_acm_certificate",
    "aws_acm_certificate_validation",
    "aws_cloudformation_stack",
    "aws_cloudwatch_dashboard",
    "aws_cloudwatch_log_resource_policy",
    "aws_cloudwatch_query_definition",
    "aws_cognito_managed_login_branding",
    "aws_cognito_resource_server",
    "aws_cognito_user_group",
    "aws_cognito_user_pool",
    "aws_cognito_user_pool_client",
    "aws_cognito_user_pool_domain",
    "aws_default_security_group",
    "aws_ecr_lifecycle_policy",
    "aws_ecr_repository_policy",
    "aws_eip",
    "aws_eks_access_entry",
    "aws_eks_access_policy_association",
    "aws_eks_addon",
    "aws_eks_node_group",
    "aws_eks_pod_identity_association",
    "aws_flow_log",
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
    "aws_vpc_security_group_egress_rule",
    "aws_vpc_security_group_ingress_rule",
    "aws_xray_group",
}

# A bucket, a network or a role is not whole without the others.
COMPANIONS = {
    "aws_s3_bucket": ["aws_s3_bucket_server_side_encryption_configuration", "aws_s3_bucket_public_access_block", "aws_s3_bucket_policy", "aws_s3_bucket_versioning"],
    "aws_vpc": ["aws_flow_log", "aws_default_security_group"],
}


def complaints(runs):
    """What is wrong with the resources of a folder's runs."""
    for name, run in runs.items():
        kinds = {resource.type for resource in run.resources}
        for resource in run.resources:
            # What is refused is planned only as far as the refusal.
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
    """Blocks that are not there have nothing in them."""

    def __getitem__(self, name):
        value = self.get(name)
        return [_Nothing()] if value == [] and name not in ("block_device_mappings", "rule") else value


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
        yield "lets the world in"
    if resource.type in ("aws_security_group", "aws_default_security_group") and any(
        wide(cidr) for rule in values["ingress"] or [] for cidr in [*rule["cidr_blocks"], *rule["ipv6_cidr_blocks"]]
    ):
        yield "lets the world in"
    if resource.type == "aws_subnet" and values["map_public_ip_on_launch"] is not False:
        yield "gives public addresses to what starts in it"
    if resource.type == "aws_launch_template" and any(interface["associate_public_ip_address"] == "true" for interface in values["network_interfaces"]):
        yield "gives nodes public addresses"
    if resource.type == "aws_s3_bucket_public_access_block" and not all(
        values[name] for name in ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")
    ):
        yield "a bucket may become public"


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
def test_roles_have_the_boundary_if_one_is_given(folder, tested):
    """The pipeline may make no others. Those that the bootstrap makes are its own."""
    if folder in ("bootstrap", "modules/github-oidc"):
        assert all(role.values["permissions_boundary"] is None for run in tested.values() for role in run.all("aws_iam_role"))
        return
    for name, run in tested.items():
        roles = run.all("aws_iam_role")
        bounded = {role.values["permissions_boundary"] for role in roles}
        assert len(bounded) <= 1, f"{name}: {bounded}"
