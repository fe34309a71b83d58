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
    Fault("modules/kms", "every principal administers", "main.tf", 'Sid       = "AccountAdministers"\n        Effect    = "Allow"\n        Principal = { AWS = "${local.arn}:iam::${local.account}:root" }', 'Sid       = "AccountAdministers"\n        Effect    = "Allow"\n        Principal = "*"', POLICIES, "AccountAdministers: trusts every principal"),
    Fault("modules/kms", "clusters get no grant", "main.tf", "eks    = { account = true, grants = {}", 'eks    = { account = true, grants = { Bool = { "kms:GrantIsForAWSResource" = "true" } }', "test_services_create_grants", "False"),
    Fault("modules/kms", "an action that is not limited", "main.tf", '"ReEncryptTo"', '"ReEncrypt*"', POLICIES, "kms:ReEncrypt* is not limited"),
    Fault("modules/kms", "logs of any account", "main.tf", ":logs:${local.region}:${local.account}:log-group", ":logs:*:*:log-group", "test_logs_of_this_account_and_region", "keys={name: other}"),
    Fault("modules/kms", "alarms of any account", "main.tf", 'this_account = { StringEquals = { "aws:SourceAccount" = local.account } }', "this_account = {}", "test_alarms_of_this_account", '"aws:SourceAccount": "444455556666"'),
    Fault("modules/bucket", "no versions", "main.tf", '"Enabled"\n  }\n}', '"Suspended"\n  }\n}', RUNS, "Every version can be restored"),
    Fault("modules/bucket", "Amazon's key", "main.tf", '"aws:kms"\n', '"AES256"\n', RESOURCES, "is not encrypted"),
    Fault("modules/bucket", "public", "main.tf", "block_public_policy     = true", "block_public_policy     = false", RESOURCES, "the bucket could become public"),
    Fault("bootstrap", "plain HTTP", "../modules/bucket/main.tf", '"aws:SecureTransport" = "false"', '"aws:SecureTransport" = "none"', "test_state_requires_tls", '"aws:SecureTransport": "false"'),
    Fault("bootstrap", "any key", "../modules/bucket/main.tf", 'StringNotEquals = { "s3:x-amz-server-side-encryption-aws-kms-key-id"', 'StringEquals = { "s3:x-amz-server-side-encryption-aws-kms-key-id"', "test_state_requires_its_key", "KEY: key"),
    Fault("bootstrap", "a domain in use", "variables.tf", "{2,}[a-z]{2,}$", "+[a-z]{2,}$", RUNS, "var.zones, was expected to report"),
    Fault("bootstrap", "instances without IMDSv2", "account.tf", '"required"', '"optional"', RUNS, "The account's defaults are the safe ones"),
    Fault("modules/network", "no flow log", "flow-logs.tf", "vpc_id                   = aws_vpc.this.id", "count = 0\n  vpc_id = aws_vpc.this.id", RESOURCES, "has no aws_flow_log"),
    Fault("modules/network", "unencrypted flow logs", "flow-logs.tf", "kms_key_id        = var.logs.kms_key_arn", "", RESOURCES, "flow_logs: is not encrypted"),
    Fault("modules/network", "every principal writes flow logs", "flow-logs.tf", 'Principal = { Service = "vpc-flow-logs.amazonaws.com" }', 'Principal = { AWS = "*" }', POLICIES, "FlowLogsOfThisAccount: trusts every principal"),
    Fault("modules/network", "the world at the endpoints", "endpoints.tf", "aws_vpc.this.cidr_block\n", '"0.0.0.0/0"\n', RESOURCES, "is open to the world"),
    Fault("modules/network", "other accounts through the endpoints", "endpoints.tf", 'Condition = { StringEquals = { "aws:PrincipalAccount" = local.account } }', "", "test_endpoints_permit_only_the_account", '"aws:PrincipalAccount": "444455556666"'),
    Fault("modules/network", "no import through the cache", "endpoints.tf", '"BatchImportUpstreamImage", ', "", "test_endpoints_permit_only_the_account[ecr.api-ecr:BatchImportUpstreamImage", "action, principal"),
    Fault("modules/network", "quay.io is blocked", "endpoints.tf", ', "quayio-production-s3"', "", "test_the_s3_endpoint", "bucket"),
    Fault("modules/network", "nodes before their way out", "outputs.tf", "[aws_route.by_nat, ", "[", "test_nodes_wait_for_their_way_out", "aws_route.by_nat"),
    Fault("modules/eks", "the world is not rejected", "variables.tf", "tonumber(split(\"/\", cidr)[1]) >= 16", "tonumber(split(\"/\", cidr)[1]) >= 0", RUNS, "var.access, was expected to report"),
    Fault("modules/eks", "unencrypted secrets", "main.tf", 'resources = ["secrets"]', "resources = []", RESOURCES, "aws_eks_cluster.this: is not encrypted"),
    Fault("modules/eks", "the creator stays administrator", "main.tf", "creator_admin_permissions = false", "creator_admin_permissions = true", RUNS, "the creator of the cluster is not its administrator"),
    Fault("modules/eks", "access by aws-auth", "main.tf", '"API"', '"API_AND_CONFIG_MAP"', RUNS, "Access is only by access entries"),
    Fault("modules/eks", "no audit log", "main.tf", '"audit", ', "", RUNS, "All logs of the control plane are enabled."),
    Fault("modules/eks", "two of three parts of Auto Mode", "main.tf", "block_storage {\n      enabled = true", "block_storage {\n      enabled = false", RUNS, "Auto Mode runs nodes, volumes and load balancers"),
    Fault("modules/eks", "services in another range", "main.tf", '"172.20.0.0/16"', '"10.100.0.0/16"', "test_policies_permit_dns", "10.100.0.10/32"),
    Fault("modules/eks", "extended support", "main.tf", '"STANDARD"\n  }', '"EXTENDED"\n  }', RUNS, "No extended support"),
    Fault("modules/eks", "sessions without the cluster's name", "roles.tf", '["sts:AssumeRole", "sts:TagSession"]', '["sts:AssumeRole"]', "test_the_role_of_the_cluster_is_that_of_auto_mode", "sts:TagSession"),
    Fault("modules/eks", "nodes are administrators", "roles.tf", '"AmazonEC2ContainerRegistryPullOnly"', '"AdministratorAccess"', "test_nodes_only_join_and_pull", "'AdministratorAccess'"),
    Fault("modules/eks", "tags on other clusters' resources", "roles.tf", 'Condition = { StringEquals = { "aws:RequestTag/eks:eks-cluster-name" = var.context.name } }', "", "test_our_tags_are_permitted", "ec2:RunInstances"),
    Fault("modules/eks", "a group that has no role", "access.tf", '["shoutback-auditors", ', '["shoutback-auditors", "shoutback-readers", ', "test_groups_are_those_of_the_role_bindings", "shoutback-readers"),
    Fault("modules/ecr", "tags that move", "main.tf", '"IMMUTABLE"', '"MUTABLE"', RUNS, "Tags are immutable."),
    Fault("modules/ecr", "images by Amazon's key", "main.tf", '"KMS"', '"AES256"', RESOURCES, "is not encrypted"),
    Fault("modules/ecr", "images are not scanned", "main.tf", "scan_on_push = true", "scan_on_push = false", RUNS, "scanned when they are pushed"),
    Fault("modules/ecr", "deployed images expire", "main.tf", '["${environment}-*"]', '["deployed-*"]', "test_deployed_images_never_expire", "production-0000000000000000000000000000000000000000"),
    Fault("modules/ecr", "every principal pulls", "main.tf", 'Principal = { AWS = [', 'Principal = { AWS = ["*"], Canonical = [', POLICIES, "OtherAccountsPull: trusts every principal"),
    Fault("modules/ecr", "Docker Hub without an account", "cache.tf", "credential_arn        = each.value.credential_arn", "", RUNS, "Docker Hub is asked with an account"),
    Fault("modules/cognito", "self-service sign-up", "main.tf", "create_user_only = true", "create_user_only = false", RUNS, "Users cannot sign themselves up."),
    Fault("modules/cognito", "a secret in the browser", "main.tf", "GenerateSecret             = false", "GenerateSecret = true", "test_people_have_no_secret", "is False"),
    Fault("modules/cognito", "passwords are accepted", "main.tf", '["ALLOW_CUSTOM_AUTH"]', '["ALLOW_USER_PASSWORD_AUTH"]', "test_no_client_accepts_passwords[People]", "PASSWORD"),
    Fault("modules/cognito", "refresh tokens that stay", "main.tf", 'RefreshTokenRotation = { Feature = "ENABLED"', 'RefreshTokenRotation = { Feature = "DISABLED"', "test_refresh_tokens_of_people_are_rotated", "ENABLED"),
    Fault("modules/cognito", "a secret in the state", "main.tf", 'MachineClientId = { Value = { Ref = "Machine" } }', 'MachineClientId = { Value = { Ref = "Machine" } }\n      MachineSecret = { Value = { "Fn::GetAtt" = ["Machine", "ClientSecret"] } }', "test_outputs_of_the_stack_are_ids", "MachineSecret"),
    Fault("modules/github-oidc", "any subject of the repository", "main.tf", "{ push = local.on_branch,", '{ push = ["*"],', POLICIES, ":sub is not compared exactly"),
    Fault("modules/github-oidc", "production's state for a pull request", "main.tf", 'environment == "staging" ? concat', "true ? concat", "test_a_job_gets_only_its_role[pull_request on refs/pull/7/merge", "shoutback-production-plan"),
    Fault("modules/github-oidc", "any branch", "main.tf", 'contains(subjects, "pull_request") ? {} :', "true ? {} :", "test_a_job_gets_only_its_role[environment:staging-terraform on refs/heads/feature", "shoutback-staging-apply'"),
    Fault("modules/github-oidc", "a token for any audience", "main.tf", '"${local.issuer}:aud" = "sts.amazonaws.com"\n', "", POLICIES, "subject and audience are required"),
    Fault("modules/github-oidc", "roles without a boundary", "../environment-roles/apply.tf", 'Resource  = [local.roles]\n      Condition = { StringEquals = { "iam:PermissionsBoundary" = aws_iam_policy.boundary.arn } }', "Resource  = [local.roles]", "test_forbidden", "iam:CreateRole"),
    Fault("modules/github-oidc", "a missing permission", "../environment-roles/apply.tf", '"CreateNatGateway", ', "", "test_apply_creates_and_deletes_every_resource", "aws_nat_gateway: ec2:CreateNatGateway"),
    Fault("modules/github-oidc", "clusters of other environments", "../environment-roles/main.tf", '"eks:eks-cluster-name" = local.other_names', '"cluster-name" = local.other_names', "test_forbidden", "ec2:CreateTags"),
    Fault("modules/github-oidc", "administrators", "../environment-roles/apply.tf", '"AmazonEKSBlockStoragePolicy", ', '"AmazonEKSBlockStoragePolicy", "AdministratorAccess", ', "test_forbidden", "AdministratorAccess"),
    Fault("modules/github-oidc", "it can change itself", "../environment-roles/apply.tf", 'Sid    = "NotItself"\n      Effect = "Deny"', 'Sid    = "NotItself"\n      Effect = "Allow"', "test_forbidden", "shoutback-staging-apply"),
    Fault("modules/github-oidc", "all actions of a service", "../environment-roles/apply.tf", '"AssociateAccessPolicy"', '"*"', POLICIES, "eks:* is not limited"),
    Fault("modules/github-oidc", "networks of other environments", "../environment-roles/apply.tf", "Condition = local.is_tagged\n    },\n  ]", "Condition = local.in_region\n    },\n  ]", "test_forbidden", "ec2:DeleteVpc"),
    Fault("modules/github-oidc", "client secrets for plans", "../environment-roles/plan.tf", '"cognito-idp:DescribeUserPool",', '"cognito-idp:DescribeUserPool*",', "test_forbidden", "cognito-idp:DescribeUserPoolClient"),
    Fault("modules/github-oidc", "user data for plans", "../environment-roles/plan.tf", 'formatlist("ec2:Describe%s", [', 'formatlist("ec2:Describe%s", ["InstanceAttribute", ', "test_forbidden", "ec2:DescribeInstanceAttribute"),
    Fault("modules/github-oidc", "stacks of others for plans", "../environment-roles/plan.tf", ":stack/${local.name}-*/*", ":stack/*", "test_forbidden", "cloudformation:DescribeStacks"),
    Fault("modules/github-oidc", "plans in other regions", "../environment-roles/plan.tf", 'Resource  = "*"\n        Condition = local.in_region', 'Resource  = "*"', "test_forbidden", "ec2:DescribeVpcs"),
    Fault("modules/github-oidc", "sessions shorter than an apply", "../environment-roles/main.tf", "apply = 3 * 3600", "apply = 3600", "test_credentials_last_longer", "<="),
    Fault("modules/github-oidc", "a scanner that pushes", "roles.tf", '"BatchGetImage", "DescribeImages", ', '"BatchGetImage", "PutImage", "DescribeImages", ', "test_forbidden", "shoutback-pull"),
    Fault("modules/github-oidc", "images are removed", "roles.tf", '"PutImage", "UploadLayerPart"', '"PutImage", "BatchDeleteImage", "UploadLayerPart"', "test_forbidden", "ecr:BatchDeleteImage"),
    Fault("modules/github-oidc", "an escape from the boundary", "../environment-roles/boundary.tf", '"sns:Publish"]', '"sns:Publish", "sts:AssumeRole"]', "test_the_boundary_prevents_escalation", "sts:AssumeRole"),
    Fault("modules/github-oidc", "any role for nodes", "../environment-roles/boundary.tf", "role/${local.name}-node", "role/${local.name}-*", "test_the_boundary_prevents_escalation", "iam:PassRole"),
    Fault("modules/github-oidc", "Auto Mode starts no nodes", "../environment-roles/boundary.tf", '"RunInstances", ', "", "test_auto_mode_works_within_the_boundary", "ec2:RunInstances"),
    Fault("modules/guard-rails", "no reads of the state", "trail.tf", 'equals = ["Data"]', 'equals = ["Management"]', "test_the_trail_has_the_reads_of_the_state", "Data"),
    Fault("modules/guard-rails", "users read the state unseen", "trail.tf", ' || ($.userIdentity.sessionContext.sessionIssuer.userName NOT EXISTS)', "", "test_alarms_on_what_should_be_rare", "set()"),
    Fault("modules/guard-rails", "the trail records its own writes", "trail.tf", 'equals = ["true"]', 'equals = ["false"]', "test_the_trail_has_the_reads_of_itself", "false"),
    Fault("modules/guard-rails", "an alarm on another role", "trail.tf", "shoutback-*-apply", "shoutback-*-plan", "test_alarms_on_what_should_be_rare", "apply-role-assumed"),
    Fault("modules/guard-rails", "budgets without permission", "main.tf", '[for service in ["budgets", ', "[for service in [", "test_every_sender_may_publish", "service"),
    Fault("modules/guard-rails", "every account publishes", "main.tf", 'Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }', "", "test_only_this_account_publishes", "444455556666"),
    Fault("modules/observability", "alarms of any environment", "alarms.tf", ':${var.context.environment}-*"', ':*"', "test_topics_accept_only_the_environments_alarms", "staging-ShoutbackReplicaDown"),
    Fault("modules/observability", "unencrypted topics", "alarms.tf", "  kms_master_key_id = var.sns_kms_key_arn\n", "", RESOURCES, "is not encrypted"),
    Fault("modules/observability", "pages to the wrong topic", "alarms.tf", 'page_topic_arn   = aws_sns_topic.this["page"].arn', 'page_topic_arn   = aws_sns_topic.this["ticket"].arn', "test_pages_and_tickets_go_to_their_topics", "shoutback-production-ticket"),
    Fault("modules/observability", "a dashboard without alarms", "alarms.tf", "alarm in local.alarms :", "alarm in [] :", "test_outputs_and_dashboard_name_all_alarms", "production-Shoutback"),
    Fault("modules/observability", "queries of another log group", "alarms.tf", 'log_group_names = [aws_cloudwatch_log_group.this["service"].name]', 'log_group_names = [aws_cloudwatch_log_group.this["host"].name]', "test_every_log_query", "shoutback/host"),
    Fault("modules/observability", "unencrypted logs", "logs.tf", "kms_key_id        = var.logs.kms_key_arn", "", RESOURCES, "is not encrypted"),
    Fault("modules/observability", "the agent makes groups", "logs.tf", '"logs:CreateLogStream", ', '"logs:CreateLogStream", "logs:CreateLogGroup", ', "test_the_agent_writes_only_to_existing_groups", "logs:CreateLogGroup"),
    Fault("modules/observability", "log groups with other names", "logs.tf", '"/aws/containerinsights/${var.cluster.name}/${kind}"', '"/shoutback/${kind}"', "test_log_groups_are_those_of_the_agent", "/shoutback/host"),
    Fault("modules/observability", "pods of other namespaces", "../pod-role/main.tf", '          "aws:RequestTag/kubernetes-namespace"       = var.namespace\n', "", "test_a_role_is_only_for_its_pods[collector]", "another"),
    Fault("modules/observability", "the collector reads", "main.tf", '["cloudwatch:PutMetricData"]', '["cloudwatch:PutMetricData", "cloudwatch:GetMetricData"]', "test_the_collector_has_only_the_documented_permissions", "cloudwatch:GetMetricData"),
    Fault("modules/observability", "pending pods of any cluster", "platform.tf", "{ ClusterName = var.context.name }", "{ ClusterName = var.context.environment }", "test_a_cluster_without_nodes_is_noticed", "production"),
    Fault("modules/observability", "silence is no alarm", "platform.tf", 'threshold = 1, missing = "breaching"\n        query    = null', 'threshold = 1, missing = "notBreaching"\n        query    = null', "test_a_silent_prometheus_pages", "breaching"),
    Fault("modules/observability", "load balancers of any cluster", "platform.tf", "MIN(HealthyHostCount) FROM SCHEMA(\\\"AWS/NetworkELB\\\", LoadBalancer, TargetGroup) WHERE LoadBalancer = '${dimension}'", "MIN(HealthyHostCount) FROM SCHEMA(\\\"AWS/NetworkELB\\\", LoadBalancer, TargetGroup)", "test_alarms_on_the_platform_watch", "WHERE"),
    Fault("modules/observability", "an add-on that does not know the configuration", "variables.tf", ">= 6002", ">= 4000", RUNS, "var.cloudwatch_addon_version, was expected to report"),
    Fault("modules/dns", "any record", "main.tf", 'local.hosts) : join("", pair)]', '["example.com"]) : join("", pair)]', "test_external_dns_changes_only_the_hosts_records", "example.com"),
    Fault("modules/dns", "requests without conditions", "main.tf", "Condition = merge(local.named, {", "Condition = merge({}, {", "test_external_dns_changes_only_the_hosts_records", "False"),
    Fault("modules/dns", "any challenge", "main.tf", '[for host in local.hosts : "_acme-challenge.${host}"]', '[for host in [var.dns.host, var.dns.zone] : "_acme-challenge.${host}"]', "test_cert_manager_changes_only_the_hosts_challenge", "False"),
    Fault("modules/dns", "a host of another zone", "variables.tf", 'endswith(host, ".${var.dns.zone}")', "true", RUNS, "var.dns, was expected to report"),
    Fault("modules/valkey", "connections without TLS", "main.tf", '"required"', '"preferred"', RESOURCES, "is not encrypted"),
    Fault("modules/valkey", "the whole network connects", "main.tf", "referenced_security_group_id = var.network.pods_security_group_id", 'cidr_ipv4 = "10.0.0.0/8"', RUNS, "Only the pods connect."),
    Fault("modules/valkey", "a password in the template", "main.tf", '{{resolve:secretsmanager:$${Password}:SecretString:password}}', "password", "test_the_password_goes_from_its_maker", "resolve"),
]

# Only the runs that find them, to save time.
NEEDED = {
    "bootstrap": ["shipped_values", "refused_as_a_domain_in_use"],
    "modules/bucket": ["kept"],
    "modules/cognito": ["everything_set"],
    "modules/dns": ["host_in_zone", "refused_in_another_zone"],
    "modules/ecr": ["shared"],
    "modules/eks": ["everything_set", "refused_as_open_to_the_world"],
    "modules/github-oidc": ["two_environments"],
    "modules/guard-rails": ["everything"],
    "modules/kms": ["every_purpose"],
    "modules/network": ["nat_per_zone"],
    "modules/observability": ["everything_set", "refused"],
    "modules/valkey": ["two_nodes"],
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
