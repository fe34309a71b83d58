mock_provider "aws" {
  source          = "../../testing/aws"
  override_during = plan

  override_resource {
    target = aws_sns_topic.this["page"]
    values = { arn = "arn:aws:sns:us-east-2:111122223333:shoutback-production-page" }
  }

  override_resource {
    target = aws_sns_topic.this["ticket"]
    values = { arn = "arn:aws:sns:us-east-2:111122223333:shoutback-production-ticket" }
  }

  override_resource {
    target = aws_cloudwatch_log_group.this["service"]
    values = { arn = "arn:aws:logs:us-east-2:111122223333:log-group:/shoutback/shoutback-production/service" }
  }
}

variables {
  context = {
    name                     = "shoutback-production"
    environment              = "production"
    runbook_base_url         = "https://docs.example.com/shoutback"
    permissions_boundary_arn = "arn:aws:iam::111122223333:policy/shoutback-production-boundary"
  }
  logs                     = { kms_key_arn = "arn:aws:kms:us-east-2:111122223333:key/00000000-0000-0000-0000-000000000000", retention_days = 365 }
  cluster                  = { name = "shoutback-production", arn = "arn:aws:eks:us-east-2:111122223333:cluster/shoutback-production" }
  nat_gateways             = { "us-east-2a" = { id = "nat-0aaaaaaaaaaaaaaaa" }, "us-east-2b" = { id = "nat-0bbbbbbbbbbbbbbbb" } }
  sns_kms_key_arn          = "arn:aws:kms:us-east-2:111122223333:key/11111111-1111-1111-1111-111111111111"
  cloudwatch_addon_version = "v6.2.0-eksbuild.1"
  subscriptions = {
    page = {
      on-call = { protocol = "https", endpoint = "https://pager.example.com/integration/key" }
      lead    = { protocol = "email", endpoint = "lead@example.com" }
    }
    ticket = { team = { protocol = "email", endpoint = "shoutback@example.com" } }
  }
}

run "everything_set" {
  command = plan

  assert {
    condition     = alltrue([for group in aws_cloudwatch_log_group.this : group.retention_in_days == 365 && group.kms_key_id == var.logs.kms_key_arn])
    error_message = "Logs have the given key and retention."
  }

  assert {
    condition     = alltrue([for topic in aws_sns_topic.this : topic.kms_master_key_id == var.sns_kms_key_arn]) && toset(keys(output.topic_arns)) == toset(["heartbeat", "page", "ticket"])
    error_message = "Topics are encrypted."
  }

  assert {
    condition     = toset(keys(aws_sns_topic_subscription.this)) == toset(["page/lead", "page/on-call", "ticket/team"])
    error_message = "Each subscription exists."
  }

  # Waiting for the confirmation of an endpoint would make the apply fail after a minute.
  assert {
    condition     = alltrue([for subscription in aws_sns_topic_subscription.this : coalesce(subscription.endpoint_auto_confirms, false) == false])
    error_message = "Terraform waits for no confirmation."
  }

  assert {
    condition     = aws_eks_addon.cloudwatch.addon_name == "amazon-cloudwatch-observability" && aws_eks_addon.cloudwatch.addon_version == "v6.2.0-eksbuild.1"
    error_message = "The add-on has the given version."
  }

  assert {
    condition     = toset(output.pods) == toset(["amazon-cloudwatch/cloudwatch-agent", "monitoring/kube-prometheus-stack-alertmanager", "monitoring/otel-collector"])
    error_message = "Three senders of telemetry have roles."
  }
}

run "before_the_ingress_controller" {
  command = plan

  override_data {
    target = data.aws_lbs.this
    values = { arns = [] }
  }

  assert {
    condition     = toset(keys(aws_cloudwatch_metric_alarm.platform)) == toset(["NatGatewayPorts-us-east-2a", "NatGatewayPorts-us-east-2b", "NodesFailed", "PodsWithoutNode", "PrometheusHeartbeat"])
    error_message = "Without a load balancer there are no alarms on one."
  }
}

run "refused" {
  command = plan

  variables {
    context                  = merge(var.context, { runbook_base_url = "https://docs.example.com/" })
    cloudwatch_addon_version = "v4.9.0-eksbuild.1"
    subscriptions            = { page = {}, ticket = { team = { protocol = "sms", endpoint = "+491700000000" } } }
  }

  expect_failures = [
    var.context,
    var.cloudwatch_addon_version,
    var.subscriptions,
  ]
}

run "refused_in_other_ways" {
  command = plan

  variables {
    context                  = merge(var.context, { runbook_base_url = "http://docs.example.com" })
    cloudwatch_addon_version = "latest"
    subscriptions            = { page = { pager = { protocol = "https", endpoint = "http://pager.example.com" } }, ticket = {} }
  }

  expect_failures = [
    var.context,
    var.cloudwatch_addon_version,
    var.subscriptions,
  ]
}
