mock_provider "aws" {
  source          = "../../testing/aws"
  override_during = plan
}

variables {
  account_id       = "111122223333"
  kms_key_arn      = "arn:aws:kms:us-east-2:111122223333:key/00000000-0000-0000-0000-000000000000"
  state_bucket_arn = "arn:aws:s3:::shoutback-terraform-111122223333"
  guard_rails = {
    email                = "shoutback@example.com"
    monthly_budget       = 2000
    break_glass_role_arn = "arn:aws:iam::111122223333:role/BreakGlass"
    trail                = true
    guardduty            = true
  }
}

run "everything" {
  command = plan

  assert {
    condition     = aws_cloudtrail.this["shoutback"].is_multi_region_trail && aws_cloudtrail.this["shoutback"].enable_log_file_validation && aws_cloudtrail.this["shoutback"].kms_key_id == var.kms_key_arn
    error_message = "The trail has every region, and is encrypted and signed."
  }

  assert {
    condition     = anytrue([for selector in aws_cloudtrail.this["shoutback"].advanced_event_selector : anytrue([for field in selector.field_selector : field.field == "resources.ARN" && field.starts_with == tolist(["${var.state_bucket_arn}/"])])])
    error_message = "Reads and writes of the state are in the trail."
  }

  assert {
    condition     = toset(keys(aws_cloudwatch_metric_alarm.this)) == toset(["apply-role-assumed", "break-glass-assumed", "state-read-by-person"])
    error_message = "What should be rare is notified."
  }

  assert {
    condition     = aws_budgets_budget.this.limit_amount == "2000" && toset([for n in aws_budgets_budget.this.notification : n.notification_type]) == toset(["ACTUAL", "FORECASTED"])
    error_message = "There are messages before the budget is used up, and if it will be."
  }

  assert {
    condition     = length(aws_ce_anomaly_monitor.this) == 1 && length(aws_guardduty_detector.this) == 1
    error_message = "AWS looks for unusual costs and for attacks."
  }

  assert {
    condition     = toset(keys(aws_cloudwatch_event_target.this)) == toset(["guardduty", "images"])
    error_message = "Findings are notified."
  }
}

run "in_an_organization" {
  command = plan

  variables {
    guard_rails = {
      email               = "shoutback@example.com"
      monthly_budget      = 2000
      trail               = false
      guardduty           = false
      anomaly_monitor_arn = "arn:aws:ce::111122223333:anomalymonitor/00000000-0000-0000-0000-000000000000"
    }
  }

  assert {
    condition     = length(aws_cloudtrail.this) == 0 && length(module.bucket) == 0 && length(aws_cloudwatch_metric_alarm.this) == 0 && length(aws_guardduty_detector.this) == 0
    error_message = "What the organization has is not created twice."
  }

  assert {
    condition     = aws_ce_anomaly_subscription.this.monitor_arn_list == tolist([var.guard_rails.anomaly_monitor_arn])
    error_message = "The existing monitor is used."
  }
}

run "refused" {
  command = plan

  variables {
    guard_rails = { email = "nobody", monthly_budget = 0, trail = false, guardduty = false }
  }

  expect_failures = [var.guard_rails]
}
