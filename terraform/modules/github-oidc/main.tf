data "aws_partition" "current" {}

locals {
  issuer = "token.actions.githubusercontent.com"
  # The workflows run on it, and name it.
  ref = "refs/heads/main"

  # Complete subjects, compared by StringEquals: the subjects that match a wildcard cannot be enumerated. Plans of pull requests are for
  # staging only: a developer who can push a branch can run one, and read the state with it. The others run on the branch, before an approval and
  # for drift.
  on_branch = ["ref:${local.ref}"]
  subjects = merge(
    { push = local.on_branch, pull = local.on_branch, bootstrap-plan = local.on_branch },
    { for environment in var.environments : "plan-${environment}" => environment == "staging" ? concat(local.on_branch, ["pull_request"]) : local.on_branch },
    { for environment in var.environments : "apply-${environment}" => ["environment:${environment}-terraform"] },
  )

  trust = {
    for role, subjects in local.subjects : role => jsonencode({
      Version = "2012-10-17"
      Statement = [{
        Sid       = "GitHub"
        Effect    = "Allow"
        Principal = { Federated = aws_iam_openid_connect_provider.github.arn }
        Action    = ["sts:AssumeRoleWithWebIdentity"]
        Condition = {
          StringEquals = merge(
            {
              "${local.issuer}:aud" = "sts.amazonaws.com"
              "${local.issuer}:sub" = sort([for pair in setproduct(var.subject_prefixes, subjects) : join(":", pair)])
            },
            # The subject of a job with an environment has no branch, but the claim `ref` has, which AWS evaluates since January 2026.
            contains(subjects, "pull_request") ? {} : { "${local.issuer}:ref" = local.ref },
          )
        }
      }]
    })
  }
}

# No thumbprints: AWS has GitHub's certificate authorities and ignores thumbprints.
resource "aws_iam_openid_connect_provider" "github" {
  url            = "https://${local.issuer}"
  client_id_list = ["sts.amazonaws.com"]
}

module "environment" {
  source   = "../environment-roles"
  for_each = var.environments

  environment        = each.key
  other_environments = sort(setsubtract(var.environments, [each.key]))
  trust              = { apply = local.trust["apply-${each.key}"], plan = local.trust["plan-${each.key}"] }
  state              = var.state
  hosted_zone_arns   = lookup(var.hosted_zone_arns, each.key, [])
}
