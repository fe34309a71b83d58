mock_provider "aws" {
  source          = "../../testing/aws"
  override_during = plan
}

variables {
  subject_prefixes  = ["repo:example/shoutback"]
  state_bucket_arn  = "arn:aws:s3:::shoutback-terraform-111122223333"
  state_kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
  repository_arns   = ["arn:aws:ecr:eu-central-1:111122223333:repository/shoutback"]
}

run "example" {
  command = plan

  module {
    source = "./example"
  }

  # The mock gives all policies the same ARN, and the boundaries of two environments would be equal.
  override_resource {
    target          = module.github_oidc.aws_iam_policy.boundary["staging"]
    override_during = plan
    values          = { arn = "arn:aws:iam::111122223333:policy/shoutback-staging-boundary" }
  }

  override_resource {
    target          = module.github_oidc.aws_iam_policy.boundary["production"]
    override_during = plan
    values          = { arn = "arn:aws:iam::111122223333:policy/shoutback-production-boundary" }
  }

  assert {
    condition     = toset(keys(output.apply_role_arns)) == toset(["production", "staging"])
    error_message = "One role per environment."
  }
}

run "one_environment" {
  command = plan

  variables {
    environments = ["staging"]
    branch       = "trunk"
  }

  assert {
    condition     = keys(output.apply_role_arns) == ["staging"] && keys(output.permissions_boundary_arns) == ["staging"]
    error_message = "Roles and boundaries are those of the given environments."
  }

  assert {
    condition     = jsondecode(aws_iam_role.push.assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"] == ["repo:example/shoutback:ref:refs/heads/trunk"]
    error_message = "Images are pushed from the given branch."
  }

  assert {
    condition     = aws_iam_openid_connect_provider.github.client_id_list == toset(["sts.amazonaws.com"])
    error_message = "Tokens are for AWS."
  }
}

run "refused" {
  command = plan

  variables {
    name              = "S"
    subject_prefixes  = ["repo:example/*"]
    branch            = "*"
    environments      = ["*"]
    state_bucket_arn  = "*"
    state_kms_key_arn = "*"
    repository_arns   = ["*"]
    hosted_zone_arns  = { staging = ["*"] }
  }

  expect_failures = [
    var.name,
    var.subject_prefixes,
    var.branch,
    var.environments,
    var.state_bucket_arn,
    var.state_kms_key_arn,
    var.repository_arns,
    var.hosted_zone_arns,
  ]
}
