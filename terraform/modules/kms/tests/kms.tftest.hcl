mock_provider "aws" {
  source          = "../../testing/aws"
  override_during = plan
}

variables {
  name     = "shoutback-staging"
  purposes = ["audit", "ecr", "eks", "logs", "sns", "state", "valkey"]
}

run "every_purpose" {
  command = plan

  assert {
    condition     = toset(keys(output.key_arns)) == var.purposes
    error_message = "One key per purpose."
  }

  assert {
    condition     = alltrue([for key in concat(values(aws_kms_key.this), values(aws_kms_key.kept)) : key.enable_key_rotation && key.deletion_window_in_days == 30])
    error_message = "Keys are rotated, and deletion waits 30 days."
  }

  assert {
    condition     = aws_kms_alias.this["logs"].name == "alias/shoutback-staging-logs" && aws_kms_alias.this["state"].name == "alias/shoutback-staging-state"
    error_message = "Aliases consist of name and purpose."
  }
}

run "refused" {
  command = plan

  variables {
    purposes = ["everything"]
  }

  expect_failures = [var.purposes]
}
