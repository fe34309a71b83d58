# GitHub's roles for the Terraform of one environment, and the boundary of the roles that this Terraform creates.
data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.region
  suffix    = data.aws_partition.current.dns_suffix

  # The prefix of everything that has a name.
  name = "shoutback-${var.environment}"
  iam  = "arn:${local.partition}:iam::${local.account}"
  arns = {
    for service in ["cloudformation", "cloudwatch", "cognito-idp", "ec2", "eks", "elasticache", "kms", "logs", "secretsmanager", "sns"] :
    service => "arn:${local.partition}:${service}:${local.region}:${local.account}"
  }

  in_region = { StringEquals = { "aws:RequestedRegion" = local.region } }
  # The resource has the environment's tag, or it is created with it.
  is_tagged     = { StringEquals = { "aws:ResourceTag/environment" = var.environment } }
  gets_tagged   = { StringEquals = { "aws:RequestTag/environment" = var.environment } }
  is_not_others = { StringEqualsIfExists = { "aws:ResourceTag/environment" = var.environment } }

  roles = "${local.iam}:role/${local.name}-*"
  state = "${var.state.bucket_arn}/${var.environment}/terraform.tfstate"

  # Resources of the account's other environments, by the tag of Terraform, or by the tag with the cluster's name of EKS, of Auto Mode
  # and of its volumes. Resources without these tags are not protected.
  other_names = [for environment in var.other_environments : "shoutback-${environment}"]
  denies_others = length(var.other_environments) == 0 ? [] : [
    for tag, values in {
      "environment"          = var.other_environments
      "aws:eks:cluster-name" = local.other_names
      "eks:eks-cluster-name" = local.other_names
      "KubernetesCluster"    = local.other_names
      } : {
      Sid       = "NotOthersBy${replace(title(replace(tag, "/[^A-Za-z]/", " ")), " ", "")}"
      Effect    = "Deny"
      Action    = ["ec2:*", "elasticloadbalancing:*", "kms:*"]
      Resource  = "*"
      Condition = { StringEquals = { "aws:ResourceTag/${tag}" = values } }
    }
  ]
}

resource "aws_iam_role" "this" {
  for_each = {
    apply = 3 * 3600 # longer than the longest update of a cluster: modules/eks
    plan  = 3600
  }

  name                 = "${local.name}-${each.key}"
  assume_role_policy   = var.trust[each.key]
  max_session_duration = each.value
}
