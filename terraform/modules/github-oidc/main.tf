data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.region

  issuer = "token.actions.githubusercontent.com"
  ref    = "refs/heads/${var.branch}"

  # Complete subjects, compared by StringEquals: the subjects that match a wildcard cannot be enumerated.
  subjects = merge(
    {
      # On the branch, too: for the plan before an approval, and for drift.
      plan = [for pair in setproduct(var.subject_prefixes, ["pull_request", "ref:${local.ref}"]) : join(":", pair)]
      push = [for prefix in var.subject_prefixes : "${prefix}:ref:${local.ref}"]
    },
    {
      for environment in var.environments : "apply-${environment}" => [for prefix in var.subject_prefixes : "${prefix}:environment:${environment}-terraform"]
    },
  )

  # The subject of a job with an environment has no branch, but the claim `ref` has, which AWS evaluates since January 2026.
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

# No thumbprints: AWS has GitHub's certificate authorities and ignores thumbprints.
resource "aws_iam_openid_connect_provider" "github" {
  url            = "https://${local.issuer}"
  client_id_list = ["sts.amazonaws.com"]
}
