mock_provider "aws" {
  source          = "../../testing/aws"
  override_during = plan
}

variables {
  name     = "shoutback-staging"
  purposes = ["ecr", "eks", "logs", "sns", "state"]
}

run "example" {
  command = plan

  module {
    source = "./example"
  }

  assert {
    condition     = toset(keys(output.key_arns)) == toset(["eks", "logs", "sns"])
    error_message = "One key per purpose."
  }
}

run "every_purpose" {
  command = plan

  assert {
    condition     = toset(keys(aws_kms_key.this)) == var.purposes && toset(keys(output.key_arns)) == var.purposes
    error_message = "One key per purpose."
  }

  assert {
    condition     = alltrue([for key in aws_kms_key.this : key.enable_key_rotation && key.deletion_window_in_days == 30])
    error_message = "Keys are rotated, and deletion waits 30 days."
  }

  assert {
    condition     = aws_kms_alias.this["logs"].name == "alias/shoutback-staging-logs"
    error_message = "Aliases consist of name and purpose."
  }
}

run "refused" {
  command = plan

  variables {
    name     = "Shoutback"
    purposes = ["everything"]
  }

  expect_failures = [var.name, var.purposes]
}
