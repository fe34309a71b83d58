# The prerequisites of the pipeline: the bucket of the state, the roles that may read and change it, and the registry, which belongs
# to no environment, because an image is built once and promoted. An administrator applies it by hand.

provider "aws" {
  region = var.region

  default_tags {
    tags = {
      project = var.name
      # These resources belong to no environment; without the tag, the permissions of an environment's Terraform would include them.
      environment = "bootstrap"
    }
  }
}

data "aws_caller_identity" "current" {}

locals {
  bucket = coalesce(var.state_bucket, "${var.name}-terraform-${data.aws_caller_identity.current.account_id}")
}

module "kms" {
  source = "../modules/kms"

  name     = var.name
  purposes = ["ecr", "state"]
}

module "ecr" {
  source = "../modules/ecr"

  name             = var.name
  kms_key_arn      = module.kms.key_arns["ecr"]
  environments     = var.environments
  pull_account_ids = var.pull_account_ids
}

module "github_oidc" {
  source = "../modules/github-oidc"

  name              = var.name
  subject_prefixes  = var.subject_prefixes
  branch            = var.branch
  environments      = var.environments
  state_bucket_arn  = aws_s3_bucket.state.arn
  state_kms_key_arn = module.kms.key_arns["state"]
  repository_arns   = [module.ecr.repository_arn]
  hosted_zone_arns  = local.zone_arns
}
