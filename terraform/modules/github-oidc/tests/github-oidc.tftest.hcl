mock_provider "aws" {
  source          = "../../testing/aws"
  override_during = plan
}

variables {
  subject_prefixes = ["repo:example/shoutback", "repo:example@1234567/shoutback@987654321"]
  environments     = ["production", "staging"]
  state            = { bucket_arn = "arn:aws:s3:::shoutback-terraform-111122223333", kms_key_arn = "arn:aws:kms:us-east-2:111122223333:key/00000000-0000-0000-0000-000000000000" }
  repository_arn   = "arn:aws:ecr:us-east-2:111122223333:repository/shoutback"
  hosted_zone_arns = {
    staging    = ["arn:aws:route53:::hostedzone/Z0STAGING"]
    production = ["arn:aws:route53:::hostedzone/Z0PRODUCTION"]
  }
}

run "two_environments" {
  command = plan

  # The mock gives all policies the same ARN, and the boundaries of two environments would be equal.
  override_resource {
    target          = module.environment["staging"].aws_iam_policy.boundary
    override_during = plan
    values          = { arn = "arn:aws:iam::111122223333:policy/shoutback-staging-boundary" }
  }

  override_resource {
    target          = module.environment["production"].aws_iam_policy.boundary
    override_during = plan
    values          = { arn = "arn:aws:iam::111122223333:policy/shoutback-production-boundary" }
  }

  assert {
    condition     = keys(module.environment) == ["production", "staging"]
    error_message = "Each environment has its roles."
  }

  assert {
    condition     = aws_iam_openid_connect_provider.github.client_id_list == toset(["sts.amazonaws.com"])
    error_message = "Tokens are for AWS."
  }
}

run "production_alone" {
  command = plan

  variables {
    environments = ["production"]
  }

  assert {
    condition     = keys(module.environment) == ["production"]
    error_message = "Roles are those of the given environments."
  }

  assert {
    condition     = contains(jsondecode(aws_iam_role.this["push"].assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"], "repo:example/shoutback:ref:refs/heads/main")
    error_message = "Images are pushed from main."
  }
}

run "refused" {
  command = plan

  variables {
    subject_prefixes = ["repo:example/*"]
  }

  expect_failures = [var.subject_prefixes]
}
