data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.region

  issuer = "token.actions.githubusercontent.com"
  ref    = "refs/heads/${var.branch}"

  # Whole subjects, compared by StringEquals: what a wildcard would let in besides, nobody can list.
  subjects = merge(
    {
      # On the branch, too: what is approved before it is applied, and what has drifted.
      plan = [for pair in setproduct(var.subject_prefixes, ["pull_request", "ref:${local.ref}"]) : join(":", pair)]
      push = [for prefix in var.subject_prefixes : "${prefix}:ref:${local.ref}"]
    },
    {
      for environment in var.environments : "apply-${environment}" => [for prefix in var.subject_prefixes : "${prefix}:environment:${environment}-terraform"]
    },
  )

  # A job with an environment names no branch in its subject, but GitHub's `ref` does, and AWS reads it since January 2026.
  refs = {
    for role, subjects in local.subjects : role => role == "plan" ? {} : { "${local.issuer}:ref" = local.ref }
  }

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
              "${local.issuer}:sub" = sort(subjects)
            },
            local.refs[role],
          )
        }
      }]
    })
  }
}

# AWS knows GitHub's certificate authorities by itself and ignores thumbprints: none is given.
resource "aws_iam_openid_connect_provider" "github" {
  url            = "https://${local.issuer}"
  client_id_list = ["sts.amazonaws.com"]
}
