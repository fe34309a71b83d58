mock_provider "aws" {
  source          = "../../testing/aws"
  override_during = plan

  override_resource {
    target = aws_sns_topic.this["page"]
    values = { arn = "arn:aws:sns:eu-central-1:111122223333:shoutback-production-page" }
  }

  override_resource {
    target = aws_sns_topic.this["ticket"]
    values = { arn = "arn:aws:sns:eu-central-1:111122223333:shoutback-production-ticket" }
  }

  override_resource {
    target = aws_cloudwatch_log_group.this["service"]
    values = { arn = "arn:aws:logs:eu-central-1:111122223333:log-group:/shoutback/shoutback-production/service" }
  }
}

variables {
  name                     = "shoutback-production"
  environment              = "production"
  cluster_name             = "shoutback-production"
  cluster_arn              = "arn:aws:eks:eu-central-1:111122223333:cluster/shoutback-production"
  logs_kms_key_arn         = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
  sns_kms_key_arn          = "arn:aws:kms:eu-central-1:111122223333:key/11111111-1111-1111-1111-111111111111"
  runbook_base_url         = "https://docs.example.com/shoutback"
  log_retention_days       = 365
  addon_version            = "v1.0.6-eksbuild.1"
  permissions_boundary_arn = "arn:aws:iam::111122223333:policy/shoutback-production-boundary"
  page_subscriptions = {
    on-call = { protocol = "https", endpoint = "https://pager.example.com/integration/key" }
    lead    = { protocol = "email", endpoint = "lead@example.com" }
  }
  ticket_subscriptions = { team = { protocol = "email", endpoint = "shoutback@example.com" } }
}

run "example" {
  command = plan

  module {
    source = "./example"
  }

  assert {
    condition     = alltrue([for name in output.alarm_names : startswith(name, "staging-Shoutback")])
    error_message = "Alarms begin with the environment's name."
  }
}

run "everything_set" {
  command = plan

  assert {
    condition     = alltrue([for group in aws_cloudwatch_log_group.this : group.retention_in_days == 365 && group.kms_key_id == var.logs_kms_key_arn])
    error_message = "Logs have the given key and retention."
  }

  assert {
    condition     = alltrue([for topic in aws_sns_topic.this : topic.kms_master_key_id == var.sns_kms_key_arn]) && toset(keys(output.topic_arns)) == toset(["page", "ticket"])
    error_message = "Two topics, encrypted with the given key."
  }

  assert {
    condition     = toset(keys(aws_sns_topic_subscription.page)) == toset(["lead", "on-call"]) && toset(keys(aws_sns_topic_subscription.ticket)) == toset(["team"])
    error_message = "Each subscription exists."
  }

  assert {
    condition     = aws_sns_topic_subscription.page["on-call"].endpoint_auto_confirms && !aws_sns_topic_subscription.page["lead"].endpoint_auto_confirms
    error_message = "People confirm by a link; services confirm automatically, and Terraform waits for it."
  }

  assert {
    condition     = aws_eks_addon.cloudwatch.addon_name == "amazon-cloudwatch-observability" && aws_eks_addon.cloudwatch.addon_version == "v1.0.6-eksbuild.1"
    error_message = "The add-on has the given version."
  }

  assert {
    condition     = one(aws_eks_addon.cloudwatch.pod_identity_association).service_account == "cloudwatch-agent"
    error_message = "The add-on has its role by Pod Identity."
  }

  assert {
    condition     = alltrue([for role in aws_iam_role.pods : role.permissions_boundary == var.permissions_boundary_arn])
    error_message = "Roles have the boundary."
  }

  assert {
    condition     = output.collector.namespace == "monitoring" && output.collector.service_account == "otel-collector"
    error_message = "The collector's role is for the collector's pods."
  }
}

run "refused" {
  command = plan

  variables {
    name                 = "S"
    environment          = "Staging"
    cluster_arn          = "shoutback-staging"
    logs_kms_key_arn     = "alias/aws/logs"
    sns_kms_key_arn      = ""
    log_retention_days   = 7
    runbook_base_url     = "https://docs.example.com/"
    addon_version        = "latest"
    page_subscriptions   = {}
    ticket_subscriptions = { team = { protocol = "sms", endpoint = "+491700000000" } }
  }

  expect_failures = [
    var.name,
    var.environment,
    var.cluster_arn,
    var.logs_kms_key_arn,
    var.sns_kms_key_arn,
    var.log_retention_days,
    var.runbook_base_url,
    var.addon_version,
    var.page_subscriptions,
    var.ticket_subscriptions,
  ]
}

run "refused_in_other_ways" {
  command = plan

  variables {
    runbook_base_url     = "http://docs.example.com"
    page_subscriptions   = { pager = { protocol = "https", endpoint = "http://pager.example.com" } }
    ticket_subscriptions = {}
  }

  expect_failures = [
    var.runbook_base_url,
    var.page_subscriptions,
    var.ticket_subscriptions,
  ]
}
