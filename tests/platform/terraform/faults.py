"""Deliberate faults: the replacement, the test that must find it, and its message."""

import os
import re
import subprocess
import sys
import xml.etree.ElementTree
from dataclasses import dataclass
from pathlib import Path

from folders import Copy

HERE = Path(__file__).parent


@dataclass
class Fault:
    folder: str
    what: str
    file: str
    shipped: str
    faulty: str
    test: str
    message: str


RUNS = "test_terraform_test_passes"
POLICIES = "test_are_bounded"
RESOURCES = "test_are_encrypted_and_closed"

FAULTS = [
    Fault("modules/kms", "no rotation", "main.tf", "enable_key_rotation     = true", "enable_key_rotation     = false", RUNS, "Keys are rotated"),
    Fault("modules/kms", "every principal administers", "main.tf", "Principal = { AWS = local.root }", 'Principal = "*"', POLICIES, "AccountAdministers: trusts every principal"),
    Fault("modules/kms", "clusters get no grant", "main.tf", "eks   = { account = true, grants = {}", "eks   = { account = true, grants = { Bool = { \"kms:GrantIsForAWSResource\" = \"true\" } }", "test_services_create_grants", "False"),
    Fault("modules/kms", "an action that is not limited", "main.tf", '"kms:ReEncryptTo"', '"kms:ReEncrypt*"', POLICIES, "kms:ReEncrypt* is not limited"),
    Fault("modules/kms", "logs of any account", "main.tf", "${local.region}:${local.account}:log-group", "*:*:log-group", "test_logs_of_this_account_and_region", "keys={name: other}"),
    Fault("modules/kms", "alarms of any account", "main.tf", '{ StringEquals = { "aws:SourceAccount" = local.account } }', "{}", "test_alarms_of_this_account", '"aws:SourceAccount": "444455556666"'),
    Fault("modules/network", "no flow log", "flow-logs.tf", "vpc_id                   = aws_vpc.this.id", "count = 0\n  vpc_id = aws_vpc.this.id", RESOURCES, "has no aws_flow_log"),
    Fault("modules/network", "unencrypted flow logs", "flow-logs.tf", "kms_key_id        = var.flow_log_kms_key_arn", "", RESOURCES, "flow_logs: is not encrypted"),
    Fault("modules/network", "every principal writes flow logs", "flow-logs.tf", 'Principal = { Service = "vpc-flow-logs.amazonaws.com" }', 'Principal = { AWS = "*" }', POLICIES, "FlowLogsOfThisAccount: trusts every principal"),
    Fault("modules/network", "the world at the endpoints", "endpoints.tf", "aws_vpc.this.cidr_block\n", '"0.0.0.0/0"\n', RESOURCES, "is open to the world"),
    Fault("modules/network", "other accounts through the endpoints", "endpoints.tf", 'Condition = { StringEquals = { "aws:PrincipalAccount" = local.account } }', "", "test_endpoints_permit_only_the_account", '"aws:PrincipalAccount": "444455556666"'),
    Fault("modules/network", "AWS's own policy", "endpoints.tf", 'policy = jsonencode({\n    Version = "2012-10-17"\n    Statement = [{\n      # Every principal', 'policy = true ? null : jsonencode({\n    Version = "2012-10-17"\n    Statement = [{\n      # Every principal', POLICIES, "aws_vpc_endpoint.s3: its policy is not known"),
    Fault("modules/network", "public addresses", "main.tf", "map_public_ip_on_launch = false", "map_public_ip_on_launch = true", RESOURCES, "assigns public addresses"),
    Fault("modules/network", "subnets that overlap", "main.tf", "cidrsubnet(var.cidr, 6, 56 + index)", "cidrsubnet(var.cidr, 6, index)", "test_subnets_are_in_the_network_and_disjoint", "overlaps"),
    Fault("modules/network", "all zones by one gateway", "main.tf", "var.single_nat_gateway ? var.azs[0] : each.key", "var.azs[0]", RUNS, "Each zone routes to its own NAT gateway"),
    Fault("modules/eks", "the world is not rejected", "variables.tf", ">= 16, false", ">= 0, false", RUNS, "var.endpoint_public_access_cidrs, was expected to report"),
    Fault("modules/eks", "open to the world", "variables.tf", 'no public endpoint."\n  type        = list(string)\n  default     = []', 'no public endpoint."\n  type        = list(string)\n  default     = ["0.0.0.0/0"]', RESOURCES, "its API server is open to the world"),
    Fault("modules/eks", "unencrypted secrets", "main.tf", 'resources = ["secrets"]', "resources = []", RESOURCES, "aws_eks_cluster.this: is not encrypted"),
    Fault("modules/eks", "the creator stays administrator", "main.tf", "creator_admin_permissions = false", "creator_admin_permissions = true", RUNS, "the creator of the cluster is not its administrator"),
    Fault("modules/eks", "access by aws-auth", "main.tf", '"API"', '"API_AND_CONFIG_MAP"', RUNS, "Access is only by access entries"),
    Fault("modules/eks", "no audit log", "main.tf", '"audit", ', "", RUNS, "All logs of the control plane are enabled."),
    Fault("modules/eks", "the node's credentials reach pods", "nodes.tf", "hop_limit = 1", "hop_limit = 2", RUNS, "IMDSv2 with a hop limit of 1."),
    Fault("modules/eks", "unencrypted disks", "nodes.tf", '"true"\n      volume_size', '"false"\n      volume_size', RESOURCES, "aws_launch_template.nodes: is not encrypted"),
    Fault("modules/eks", "nodes are administrators", "nodes.tf", '"AmazonEC2ContainerRegistryPullOnly"', '"AdministratorAccess"', "test_nodes_only_join_and_pull", "'AdministratorAccess'"),
    Fault("modules/eks", "NetworkPolicies do nothing", "addons.tf", '"true" } }', '"false" } }', RUNS, "NetworkPolicies are enforced."),
    Fault("modules/eks", "claims without a storage class", "addons.tf", "defaultStorageClass = { enabled = true }", "defaultStorageClass = { enabled = false }", RUNS, "There is a default storage class."),
    Fault("modules/eks", "any pod gets an add-on's role", "addons.tf", '"aws:RequestTag/kubernetes-namespace"       = "kube-system"', "", "test_roles_of_add_ons_are_only_for_their_pods", "keys=own | {key: other}"),
    Fault("modules/eks", "a group that has no role", "access.tf", '["shoutback-auditors", ', '["shoutback-auditors", "shoutback-readers", ', "test_groups_are_those_of_the_role_bindings", "shoutback-readers"),
    Fault("modules/ecr", "tags that move", "main.tf", '"IMMUTABLE"', '"MUTABLE"', RUNS, "Tags are immutable."),
    Fault("modules/ecr", "images by Amazon's key", "main.tf", '"KMS"', '"AES256"', RESOURCES, "is not encrypted"),
    Fault("modules/ecr", "images are not scanned", "main.tf", "scan_on_push = true", "scan_on_push = false", RUNS, "scanned when they are pushed"),
    Fault("modules/ecr", "deployed images expire", "main.tf", '["${environment}-*"]', '["deployed-*"]', "test_deployed_images_never_expire", "production-0000000000000000000000000000000000000000"),
    Fault("modules/ecr", "every principal pulls", "main.tf", 'Principal = { AWS = [', 'Principal = { AWS = ["*"], Canonical = [', POLICIES, "OtherAccountsPull: trusts every principal"),
    Fault("modules/cognito", "self-service sign-up", "main.tf", "create_user_only = true", "create_user_only = false", RUNS, "Users cannot sign themselves up."),
    Fault("modules/cognito", "a secret in the browser", "main.tf", "generate_secret                      = false", "generate_secret = true", RUNS, "People have no secret"),
    Fault("modules/cognito", "passwords are accepted", "main.tf", '["ALLOW_REFRESH_TOKEN_AUTH"]', '["ALLOW_USER_PASSWORD_AUTH"]', RUNS, "No client accepts passwords"),
    Fault("modules/cognito", "callbacks without TLS", "variables.tf", "(https://[^*#]+|", "(https?://[^*#]+|", RUNS, "var.callback_urls, was expected to report"),
    Fault("modules/github-oidc", "any subject of the repository", "main.tf", '"pull_request", "ref:', '"*", "ref:', POLICIES, ":sub is not compared exactly"),
    Fault("modules/github-oidc", "any branch", "main.tf", "role == \"plan\" ? {} :", "true ? {} :", "test_a_job_gets_only_its_role[environment:staging-terraform on refs/heads/feature", "shoutback-staging-apply'"),
    Fault("modules/github-oidc", "a token for any audience", "main.tf", '"${local.issuer}:aud" = "sts.amazonaws.com"\n', "", POLICIES, "subject and audience are required"),
    Fault("modules/github-oidc", "roles without a boundary", "apply.tf", 'Condition = { StringEquals = { "iam:PermissionsBoundary" = aws_iam_policy.boundary[environment].arn } }', "", "test_forbidden", "iam:CreateRole"),
    Fault("modules/github-oidc", "a missing permission", "apply.tf", '"ec2:CreateNatGateway",', "", "test_apply_creates_and_deletes_every_resource", "aws_nat_gateway: ec2:CreateNatGateway"),
    Fault("modules/github-oidc", "clusters of other environments", "boundary.tf", 'tag = "aws:eks:cluster-name"', 'tag = "cluster-name"', "test_forbidden", "ec2:AuthorizeSecurityGroupIngress"),
    Fault("modules/github-oidc", "another environment's boundary", "apply.tf", '          StringEquals = { "iam:PermissionsBoundary" = aws_iam_policy.boundary[environment].arn }\n', '          StringEquals = { "iam:PermissionsBoundary" = values(aws_iam_policy.boundary)[*].arn }\n', "test_forbidden[shoutback-staging-apply iam:AttachRolePolicy", "shoutback-production-boundary"),
    Fault("modules/github-oidc", "administrators", "apply.tf", '          ArnEquals    = { "iam:PolicyARN" = local.managed_policies }\n', "", "test_forbidden", "AdministratorAccess"),
    Fault("modules/github-oidc", "it can change itself", "apply.tf", 'Effect = "Deny"', 'Effect = "Allow"', "test_forbidden", "shoutback-staging-apply"),
    Fault("modules/github-oidc", "all actions of a service", "apply.tf", '"eks:AssociateAccessPolicy"', '"eks:*"', POLICIES, "eks:* is not limited"),
    Fault("modules/github-oidc", "networks of other environments", "apply.tf", "Condition = local.tagged[environment]\n      },\n    ]", "Condition = local.here\n      },\n    ]", "test_forbidden", "ec2:DeleteVpc"),
    Fault("modules/github-oidc", "images are removed", "push.tf", '"ecr:PutImage"', '"ecr:PutImage", "ecr:BatchDeleteImage"', "test_forbidden", "ecr:BatchDeleteImage"),
    Fault("modules/github-oidc", "an escape from the boundary", "boundary.tf", '"xray:PutSpans"', '"xray:PutSpans", "sts:AssumeRole"', "test_the_boundary_prevents_escalation", "sts:AssumeRole"),
    Fault("bootstrap", "no versions", "state.tf", '"Enabled"\n  }\n}', '"Suspended"\n  }\n}', RUNS, "Every version of the state"),
    Fault("bootstrap", "plain HTTP", "state.tf", '"aws:SecureTransport" = "false"', '"aws:SecureTransport" = "none"', "test_state_requires_tls", '"aws:SecureTransport": "false"'),
    Fault("bootstrap", "any key", "state.tf", 'StringNotEquals = { "s3:x-amz-server-side-encryption-aws-kms-key-id"', 'StringEquals = { "s3:x-amz-server-side-encryption-aws-kms-key-id"', "test_state_requires_its_key", "KEY: key"),
    Fault("bootstrap", "Amazon's key", "state.tf", '"aws:kms"\n', '"AES256"\n', RESOURCES, "aws_s3_bucket_server_side_encryption_configuration.state: is not encrypted"),
    Fault("bootstrap", "public", "state.tf", "block_public_policy     = true", "block_public_policy     = false", RESOURCES, "the bucket could become public"),
    Fault("bootstrap", "no lock", "outputs.tf", "use_lockfile = true", "use_lockfile = false", "test_backends_have_lock_files", "'false' == 'true'"),
    Fault("modules/observability", "alarms of any environment", "alarms.tf", ':${var.environment}-*"', ':*"', "test_topics_accept_only_the_environments_alarms", "staging-ShoutbackReplicaDown"),
    Fault("modules/observability", "unencrypted topics", "alarms.tf", "  kms_master_key_id = var.sns_kms_key_arn\n", "", RESOURCES, "is not encrypted"),
    Fault("modules/observability", "pages to the wrong topic", "alarms.tf", 'page_topic_arn   = aws_sns_topic.this["page"].arn', 'page_topic_arn   = aws_sns_topic.this["ticket"].arn', "test_pages_and_tickets_go_to_their_topics", "shoutback-production-ticket"),
    Fault("modules/observability", "a dashboard without alarms", "alarms.tf", "alarm in local.alarms :", "alarm in [] :", "test_outputs_and_dashboard_name_all_alarms", "production-Shoutback"),
    Fault("modules/observability", "queries of another log group", "alarms.tf", 'log_group_names = [aws_cloudwatch_log_group.this["service"].name]', 'log_group_names = [aws_cloudwatch_log_group.this["host"].name]', "test_every_log_query", "shoutback/host"),
    Fault("modules/observability", "unencrypted logs", "logs.tf", "kms_key_id        = var.logs_kms_key_arn", "", RESOURCES, "is not encrypted"),
    Fault("modules/observability", "the agent makes groups", "logs.tf", '"logs:CreateLogStream", ', '"logs:CreateLogStream", "logs:CreateLogGroup", ', "test_the_agent_writes_only_to_existing_groups", "logs:CreateLogGroup"),
    Fault("modules/observability", "log groups with other names", "logs.tf", '"/aws/containerinsights/${var.cluster_name}/${kind}"', '"/shoutback/${kind}"', "test_log_groups_are_those_of_the_agent", "/shoutback/host"),
    Fault("modules/observability", "pods of other namespaces", "main.tf", '          "aws:RequestTag/kubernetes-namespace"       = each.value.namespace\n', "", "test_a_role_is_only_for_its_pods[collector]", "another"),
    Fault("modules/observability", "the collector reads", "main.tf", '["cloudwatch:PutMetricData"]', '["cloudwatch:PutMetricData", "cloudwatch:GetMetricData"]', "test_the_collector_has_only_the_documented_permissions", "cloudwatch:GetMetricData"),
    Fault("modules/workload", "any record", "dns.tf", '["", "a-", "aaaa-", "cname-"] : "${prefix}${var.host}"]', '["", "a-", "aaaa-", "cname-", "evil."] : "${prefix}example.com"]', "test_external_dns_changes_only_the_hosts_records", "example.com"),
    Fault("modules/workload", "requests without conditions", "dns.tf", "merge(local.named, {\n        \"ForAllValues:StringEquals\" = {\n          # The prefixed", "merge({}, {\n        \"ForAllValues:StringEquals\" = {\n          # The prefixed", "test_external_dns_changes_only_the_hosts_records", "False"),
    Fault("modules/workload", "any challenge", "dns.tf", '["_acme-challenge.${var.host}"]', '["_acme-challenge.${var.host}", "_acme-challenge.example.com"]', "test_cert_manager_changes_only_the_hosts_challenge", "False"),
    Fault("modules/workload", "pods of other namespaces", "main.tf", '          "aws:RequestTag/kubernetes-service-account" = each.value.service_account\n', "", "test_a_role_is_only_for_its_pods[records]", "another"),
    Fault("modules/workload", "load balancers of others", "load-balancers.tf", '        "elasticloadbalancing:SetSubnets",\n      ]\n      Resource  = local.parts\n      Condition = local.are_ours', '        "elasticloadbalancing:SetSubnets",\n      ]\n      Resource  = local.parts\n      Condition = { StringLike = { "aws:ResourceTag/${local.ours}" = "*" } }', "test_the_load_balancer_controller_is_denied", "elasticloadbalancing:DeleteLoadBalancer"),
    Fault("modules/workload", "a host of another zone", "dns.tf", "var.host == trimsuffix(self.name, \".\") || endswith(", "true || endswith(", RUNS, "data.aws_route53_zone.this, was expected to report"),
    Fault("modules/transaction-search", "spans of every principal", "main.tf", 'Principal = { Service = "xray.amazonaws.com" }', 'Principal = "*"', POLICIES, "SpansOfThisAccount: trusts every principal"),
    Fault("modules/transaction-search", "a constant percentage", "main.tf", "IndexingPercentage = var.indexing_percentage", "IndexingPercentage = 1", RUNS, "The given percentage is indexed."),
]

# Only the runs that find them, to save time.
NEEDED = {
    "bootstrap": ["example"],
    "modules/cognito": ["everything_set", "refused"],
    "modules/ecr": ["example", "kept_and_shared"],
    "modules/eks": ["example", "everything_set", "refused"],
    "modules/github-oidc": ["example"],
    "modules/kms": ["every_purpose"],
    "modules/network": ["nat_per_zone"],
    "modules/observability": ["everything_set"],
    "modules/transaction-search": ["indexed"],
    "modules/workload": ["another_zone", "by_the_cluster"],
}

# Tests of every folder, and those of its own module.
GENERAL = ["test_folders.py::test_terraform_test_passes[{}]", "test_policies.py::test_are_bounded[{}]", "test_resources.py::test_are_encrypted_and_closed[{}]"]


def failures(folder, directory):
    """Runs the tests of a folder on a copy with all its faults. Returns the messages of the failed ones by name."""
    copy = Copy(directory)
    for file in (copy.terraform / folder / "tests").glob("*.tftest.hcl"):
        runs = re.compile(r'^run "(\w+)" {\n.*?^}\n', re.DOTALL | re.MULTILINE)
        file.write_text(runs.sub(lambda run: run[0] if run[1] in NEEDED[folder] else "", file.read_text()))
    for fault in FAULTS:
        if fault.folder == folder:
            file = copy.terraform / folder / fault.file
            text = file.read_text()
            assert fault.shipped in text, f"{fault.what}: {fault.file} has no {fault.shipped}"
            file.write_text(text.replace(fault.shipped, fault.faulty))
    own = HERE / f"test_{Path(folder).name.replace('-', '_')}.py"
    tests = [str(HERE / test.format(folder)) for test in GENERAL] + [str(own)] * own.exists()
    report = directory / "report.xml"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-vv", "-p", "no:cacheprovider", f"--junit-xml={report}", "-k", "not everything", *tests],
        env=os.environ | {"SHOUTBACK_ROOT": str(directory)},
        cwd=directory,
        capture_output=True,
        text=True,
    )
    assert report.exists(), done.stdout + done.stderr
    # The failed line of the test, and pytest's explanation.
    cases = xml.etree.ElementTree.parse(report).getroot().iter("testcase")
    return {case.get("name"): case.get("name") + failed_lines(case) for case in cases if case.find("failure") is not None}


def failed_lines(case):
    return "\n".join(line for found in case.findall("failure") for line in found.text.splitlines() if line.startswith((">", "E")))
