data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account = data.aws_caller_identity.current.account_id
  region  = data.aws_region.current.region
  suffix  = data.aws_partition.current.dns_suffix
  arn     = "arn:${data.aws_partition.current.partition}"

  # Lists instead of kms:*: the account administers its keys, and key policies are changed only by Terraform.
  administration = formatlist("kms:%s", [
    "CancelKeyDeletion", "CreateAlias", "DeleteAlias", "DescribeKey", "DisableKey", "DisableKeyRotation", "EnableKey", "EnableKeyRotation",
    "GetKeyPolicy", "GetKeyRotationStatus", "ListGrants", "ListKeyPolicies", "ListKeyRotations", "ListResourceTags", "ListRetirableGrants",
    "PutKeyPolicy", "RevokeGrant", "RotateKeyOnDemand", "ScheduleKeyDeletion", "TagResource", "UntagResource", "UpdateAlias", "UpdateKeyDescription",
  ])
  encryption = formatlist("kms:%s", [
    "Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo",
  ])

  this_account = { StringEquals = { "aws:SourceAccount" = local.account } }
  log_groups   = { ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "${local.arn}:logs:${local.region}:${local.account}:log-group:*" } }

  # The users of a key: roles of the account with permission in their own policies (`account`), services with a grant that a role
  # created for them (`grants`, the condition), or service principals, only for resources of this account (`services`, conditions by
  # principal). EKS does not request its grant as an AWS resource, so kms:GrantIsForAWSResource would reject it.
  uses = {
    audit = {
      account = true, grants = null
      services = merge(
        { for service in ["budgets", "cloudwatch", "costalerts", "events"] : "${service}.${local.suffix}" => local.this_account },
        {
          "cloudtrail.${local.suffix}"           = { StringEquals = { "aws:SourceArn" = "${local.arn}:cloudtrail:${local.region}:${local.account}:trail/${var.name}" } }
          "logs.${local.region}.${local.suffix}" = local.log_groups
        },
      )
    }
    ecr    = { account = true, grants = { StringEquals = { "kms:ViaService" = "ecr.${local.region}.${local.suffix}" } }, services = {} }
    eks    = { account = true, grants = {}, services = {} }
    logs   = { account = false, grants = null, services = { "logs.${local.region}.${local.suffix}" = local.log_groups } }
    sns    = { account = false, grants = null, services = { "cloudwatch.${local.suffix}" = local.this_account } }
    state  = { account = true, grants = null, services = {} }
    valkey = { account = true, grants = { StringEquals = { "kms:ViaService" = "elasticache.${local.region}.${local.suffix}" } }, services = {} }
  }

  # As JSON, because the conditions have different types.
  statements = {
    for purpose, use in local.uses : purpose => concat(
      [jsonencode({
        Sid       = "AccountAdministers"
        Effect    = "Allow"
        Principal = { AWS = "${local.arn}:iam::${local.account}:root" }
        Action    = concat(local.administration, use.account ? tolist(setsubtract(local.encryption, local.administration)) : [])
        Resource  = "*"
      })],
      use.grants == null ? [] : [jsonencode({
        Sid       = "ServicesKeepGrants"
        Effect    = "Allow"
        Principal = { AWS = "${local.arn}:iam::${local.account}:root" }
        Action    = ["kms:CreateGrant", "kms:RetireGrant"]
        Resource  = "*"
        Condition = use.grants
      })],
      [for service, condition in use.services : jsonencode({
        Sid       = "Encrypt${replace(title(split(".", service)[0]), "/[^A-Za-z]/", "")}"
        Effect    = "Allow"
        Principal = { Service = service }
        Action    = local.encryption
        Resource  = "*"
        Condition = condition
      })],
    )
  }

  policies = { for purpose, statements in local.statements : purpose => jsonencode({ Version = "2012-10-17", Statement = [for text in statements : jsondecode(text)] }) }
  keys     = merge(aws_kms_key.this, aws_kms_key.kept)

  # Deleting the key of the state or of the images makes both unreadable.
  kept = setintersection(var.purposes, ["ecr", "state"])
}

resource "aws_kms_key" "this" {
  for_each = setsubtract(var.purposes, local.kept)

  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = local.policies[each.key]
  tags                    = { Name = "${var.name}-${each.key}" }
}

# `lifecycle` takes no variables, so this is a second resource.
resource "aws_kms_key" "kept" {
  for_each = local.kept

  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = local.policies[each.key]
  tags                    = { Name = "${var.name}-${each.key}" }

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_kms_alias" "this" {
  for_each = var.purposes

  name          = "alias/${var.name}-${each.key}"
  target_key_id = local.keys[each.key].key_id
}
