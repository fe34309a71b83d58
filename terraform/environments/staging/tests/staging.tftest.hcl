mock_provider "aws" {
  source = "../../testing/aws"

  # A mock is applied, with generated ids.
  override_data {
    target = module.workload.data.aws_route53_zone.this
    values = { name = "staging.example.com" }
  }
}

variables {
  region                   = "eu-central-1"
  zones                    = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  account_id               = "111122223333"
  permissions_boundary_arn = "arn:aws:iam::111122223333:policy/shoutback-staging-boundary"
  repository_url           = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/shoutback"
  zone_id                  = "Z0STAGING"
  host                     = "api.staging.example.com"
  sign_in_prefix           = "shoutback-staging-example"
  runbook_base_url         = "https://docs.example.com/shoutback"
  api_server_cidrs         = ["198.51.100.0/24"]
  addon_versions = {
    coredns                = "v1.0.0-eksbuild.1"
    ebs_csi_driver         = "v1.0.0-eksbuild.1"
    eks_pod_identity_agent = "v1.0.0-eksbuild.1"
    kube_proxy             = "v1.36.0-eksbuild.1"
    vpc_cni                = "v1.0.0-eksbuild.1"
  }
  cloudwatch_addon_version = "v1.0.0-eksbuild.1"
  team_role_arns = {
    shoutback-developers = ["arn:aws:iam::111122223333:role/Developers"]
    shoutback-sre        = ["arn:aws:iam::111122223333:role/SRE"]
  }

  page_subscriptions   = { on-call = { protocol = "https", endpoint = "https://pager.example.com/integration/key" } }
  ticket_subscriptions = { team = { protocol = "email", endpoint = "shoutback@example.com" } }
}

run "staging" {
  assert {
    condition     = output.cluster_name == "shoutback-staging"
    error_message = "Names contain the environment."
  }

  assert {
    condition     = output.placeholders.REPLACE_WITH_CLIENT_IDS == join(",", output.cognito_client_ids) && output.placeholders.REPLACE_WITH_REGION == "eu-central-1"
    error_message = "The placeholders have the values of the outputs."
  }

  assert {
    condition     = contains(output.pods_with_roles, "monitoring/otel-collector")
    error_message = "The collector's pods have its role."
  }

  assert {
    condition     = alltrue([for name in output.alarm_names : startswith(name, "${var.environment}-")])
    error_message = "Alarms begin with the environment's name."
  }
}

run "refused" {
  command = plan

  variables {
    environment    = "test"
    region         = "Frankfurt"
    account_id     = "shoutback"
    repository_url = "docker.io/shoutback"
  }

  expect_failures = [
    var.environment,
    var.region,
    var.account_id,
    var.repository_url,
  ]
}

run "refused_as_anothers" {
  command = plan

  variables {
    permissions_boundary_arn = "arn:aws:iam::111122223333:policy/shoutback-development-boundary"
    zones                    = ["us-east-2a", "us-east-2b", "us-east-2c"]
  }

  expect_failures = [
    var.permissions_boundary_arn,
    var.zones,
  ]
}
