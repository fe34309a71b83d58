mock_provider "aws" {
  source          = "../../testing/aws"
  override_during = plan

  override_resource {
    target = aws_iam_policy.boundary
    values = { arn = "arn:aws:iam::111122223333:policy/shoutback-staging-boundary" }
  }
}

variables {
  environment        = "staging"
  other_environments = ["production"]
  trust              = { apply = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"GitHub\",\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"example.amazonaws.com\"},\"Action\":[\"sts:AssumeRole\"]}]}", plan = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"GitHub\",\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"example.amazonaws.com\"},\"Action\":[\"sts:AssumeRole\"]}]}" }
  state              = { bucket_arn = "arn:aws:s3:::shoutback-terraform-111122223333", kms_key_arn = "arn:aws:kms:us-east-2:111122223333:key/00000000-0000-0000-0000-000000000000" }
  hosted_zone_arns   = ["arn:aws:route53:::hostedzone/Z0STAGING"]
}

run "beside_production" {
  command = plan

  assert {
    condition     = aws_iam_role.this["apply"].name == "shoutback-staging-apply" && aws_iam_role.this["plan"].name == "shoutback-staging-plan"
    error_message = "Names consist of environment and role."
  }
}

# The longest names and the most neighbours that the variables permit.
run "longest" {
  command = plan

  variables {
    environment        = "abcdefghijkl"
    other_environments = ["bcdefghijklm", "cdefghijklmn"]
    hosted_zone_arns   = [for n in range(5) : "arn:aws:route53:::hostedzone/Z0123456789ABCDEFGHI${n}"]
  }

  override_data {
    target = data.aws_region.current
    values = { region = "ap-northeast-1" }
  }

  assert {
    condition     = length(aws_iam_policy.apply) == 5
    error_message = "The permissions to apply are split."
  }
}

run "alone" {
  command = plan

  variables {
    other_environments = []
    hosted_zone_arns   = []
  }

  assert {
    condition     = !strcontains(aws_iam_policy.boundary.policy, "Deny") && !strcontains(aws_iam_policy.boundary.policy, "ChangeResourceRecordSets")
    error_message = "There are no other environments, and no records to change."
  }
}

run "refused" {
  command = plan

  variables {
    environment      = "bootstrap"
    hosted_zone_arns = ["*"]
  }

  expect_failures = [var.environment, var.hosted_zone_arns]
}
