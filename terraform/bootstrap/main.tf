# The prerequisites of the pipeline: the bucket of the state, the roles that may read and change it, and the registry, which belongs
# to no environment, because an image is built once and promoted; and the guard rails of the account. An administrator applies it.

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]

  default_tags {
    tags = {
      project = "shoutback"
      # These resources belong to no environment; without the tag, the permissions of an environment's Terraform would include them.
      environment = "bootstrap"
    }
  }
}

data "aws_partition" "current" {}

locals {
  arn = "arn:${data.aws_partition.current.partition}"
}

module "kms" {
  source = "../modules/kms"

  name     = "shoutback"
  purposes = ["audit", "ecr", "state"]
}

module "state" {
  source = "../modules/bucket"

  name        = "shoutback-terraform-${var.account_id}"
  kms_key_arn = module.kms.key_arns["state"]
}

module "ecr" {
  source = "../modules/ecr"

  kms_key_arn           = module.kms.key_arns["ecr"]
  environments          = var.environments
  pull_account_ids      = var.pull_account_ids
  docker_hub_secret_arn = var.docker_hub_secret_arn
}

module "github_oidc" {
  source = "../modules/github-oidc"

  subject_prefixes = var.subject_prefixes
  environments     = var.environments
  state            = { bucket_arn = module.state.arn, kms_key_arn = module.kms.key_arns["state"] }
  repository_arn   = module.ecr.repository_arn
  hosted_zone_arns = local.zone_arns
}

module "guard_rails" {
  source = "../modules/guard-rails"

  account_id       = var.account_id
  kms_key_arn      = module.kms.key_arns["audit"]
  state_bucket_arn = module.state.arn
  guard_rails      = var.guard_rails
}
