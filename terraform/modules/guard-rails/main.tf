# Who did what in the account, what costs more than planned, and what AWS finds suspicious, by mail.
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  arn    = "arn:${data.aws_partition.current.partition}"
  suffix = data.aws_partition.current.dns_suffix
}

resource "aws_sns_topic" "this" {
  name              = "shoutback-account"
  kms_master_key_id = var.kms_key_arn
}

resource "aws_sns_topic_policy" "this" {
  arn = aws_sns_topic.this.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "ServicesOfThisAccount"
      Effect    = "Allow"
      Principal = { Service = [for service in ["budgets", "cloudwatch", "costalerts", "events"] : "${service}.${local.suffix}"] }
      Action    = ["sns:Publish"]
      Resource  = [aws_sns_topic.this.arn]
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

# Its owner confirms it by a link in a mail.
resource "aws_sns_topic_subscription" "this" {
  topic_arn = aws_sns_topic.this.arn
  protocol  = "email"
  endpoint  = var.guard_rails.email
}

resource "aws_budgets_budget" "this" {
  name         = "shoutback"
  budget_type  = "COST"
  limit_amount = tostring(var.guard_rails.monthly_budget)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"

  dynamic "notification" {
    for_each = { ACTUAL = 90, FORECASTED = 100 }
    content {
      notification_type         = notification.key
      threshold                 = notification.value
      threshold_type            = "PERCENTAGE"
      comparison_operator       = "GREATER_THAN"
      subscriber_sns_topic_arns = [aws_sns_topic.this.arn]
    }
  }

  depends_on = [aws_sns_topic_policy.this]
}

# AWS permits one monitor of services per account.
resource "aws_ce_anomaly_monitor" "this" {
  count = var.guard_rails.anomaly_monitor_arn == null ? 1 : 0

  name              = "services"
  monitor_type      = "DIMENSIONAL"
  monitor_dimension = "SERVICE"
}

resource "aws_ce_anomaly_subscription" "this" {
  name             = "shoutback"
  frequency        = "IMMEDIATE"
  monitor_arn_list = [coalesce(var.guard_rails.anomaly_monitor_arn, one(aws_ce_anomaly_monitor.this[*].arn))]

  subscriber {
    type    = "SNS"
    address = aws_sns_topic.this.arn
  }

  threshold_expression {
    dimension {
      key           = "ANOMALY_TOTAL_IMPACT_ABSOLUTE"
      match_options = ["GREATER_THAN_OR_EQUAL"]
      values        = ["50"]
    }
  }

  depends_on = [aws_sns_topic_policy.this]
}

resource "aws_guardduty_detector" "this" {
  # checkov:skip=CKV2_AWS_3: of this region and account; that of an organization is its own
  count = var.guard_rails.guardduty ? 1 : 0

  enable = true

  datasources {
    kubernetes {
      audit_logs {
        enable = true
      }
    }
  }
}

# Findings that would otherwise be seen only in the console: those of GuardDuty, and critical vulnerabilities of pushed images.
resource "aws_cloudwatch_event_rule" "this" {
  for_each = {
    guardduty = { source = ["aws.guardduty"], detail-type = ["GuardDuty Finding"], detail = { severity = [{ numeric = [">=", 7] }] } }
    images    = { source = ["aws.ecr"], detail-type = ["ECR Image Scan"], detail = { finding-severity-counts = { CRITICAL = [{ exists = true }] } } }
  }

  name          = "shoutback-${each.key}"
  event_pattern = jsonencode(each.value)
}

resource "aws_cloudwatch_event_target" "this" {
  for_each = aws_cloudwatch_event_rule.this

  rule = each.value.name
  arn  = aws_sns_topic.this.arn
}
