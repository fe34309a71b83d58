data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account = data.aws_caller_identity.current.account_id
  root    = "arn:${data.aws_partition.current.partition}:iam::${local.account}:root"
  region  = data.aws_region.current.region

  # A list instead of kms:*: the account administers its keys, and key policies are changed only by Terraform.
  administration = [
    "kms:CancelKeyDeletion",
    "kms:CreateAlias",
    "kms:DeleteAlias",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:DisableKeyRotation",
    "kms:EnableKey",
    "kms:EnableKeyRotation",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
    "kms:ListKeyRotations",
    "kms:ListResourceTags",
    "kms:ListRetirableGrants",
    "kms:PutKeyPolicy",
    "kms:RevokeGrant",
    "kms:RotateKeyOnDemand",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateAlias",
    "kms:UpdateKeyDescription",
  ]

  encryption = [
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
  ]

  # The users of a key: roles of the account with permission in their own policies ("account"), services with a grant that a role
  # created for them ("grants", with an optional condition), or a service principal, only for resources of this account
  # ("service"). EKS does not request its grant as an AWS resource, so kms:GrantIsForAWSResource would reject it.
  uses = {
    ecr = {
      account   = true
      grants    = { StringEquals = { "kms:ViaService" = "ecr.${local.region}.amazonaws.com" } }
      service   = null
      condition = null
    }
    eks   = { account = true, grants = {}, service = null, condition = null }
    state = { account = true, grants = null, service = null, condition = null }
    logs = {
      account = false
      grants  = null
      service = "logs.${local.region}.${data.aws_partition.current.dns_suffix}"
      condition = {
        ArnLike = {
          "kms:EncryptionContext:aws:logs:arn" = "arn:${data.aws_partition.current.partition}:logs:${local.region}:${local.account}:log-group:*"
        }
      }
    }
    sns = {
      account   = false
      grants    = null
      service   = "cloudwatch.${data.aws_partition.current.dns_suffix}"
      condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }
  }

  statements = {
    for purpose, use in local.uses : purpose => concat(
      [{
        Sid       = "AccountAdministers"
        Effect    = "Allow"
        Principal = { AWS = local.root }
        Action    = local.administration
        Resource  = "*"
      }],
      [for _ in range(use.account ? 1 : 0) : {
        Sid       = "AccountEncrypts"
        Effect    = "Allow"
        Principal = { AWS = local.root }
        Action    = local.encryption
        Resource  = "*"
      }],
      [for _ in range(use.grants == null ? 0 : 1) : {
        Sid       = "ServicesKeepGrants"
        Effect    = "Allow"
        Principal = { AWS = local.root }
        Action    = ["kms:CreateGrant", "kms:RetireGrant"]
        Resource  = "*"
        Condition = use.grants
      }],
      [for _ in range(use.service == null ? 0 : 1) : {
        Sid       = "ServiceEncrypts"
        Effect    = "Allow"
        Principal = { Service = use.service }
        Action    = local.encryption
        Resource  = "*"
        Condition = use.condition
      }],
    )
  }
}

resource "aws_kms_key" "this" {
  for_each = var.purposes

  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = local.statements[each.key]
  })
  tags = { Name = "${var.name}-${each.key}" }
}

resource "aws_kms_alias" "this" {
  for_each = var.purposes

  name          = "alias/${var.name}-${each.key}"
  target_key_id = aws_kms_key.this[each.key].key_id
}
