provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]

  default_tags {
    tags = {
      project     = "shoutback"
      environment = var.environment
    }
  }
}

locals {
  name = "shoutback-${var.environment}"
}

module "kms" {
  source = "../../modules/kms"

  name     = local.name
  purposes = ["eks", "logs", "sns"]
}

module "network" {
  source = "../../modules/network"

  name                     = local.name
  cidr                     = var.network_cidr
  azs                      = var.zones
  single_nat_gateway       = var.single_nat_gateway
  flow_log_kms_key_arn     = module.kms.key_arns["logs"]
  flow_log_retention_days  = var.log_retention_days
  permissions_boundary_arn = var.permissions_boundary_arn
}

module "eks" {
  source = "../../modules/eks"

  name                          = local.name
  kubernetes_version            = var.kubernetes_version
  subnet_ids                    = module.network.private_subnet_ids
  endpoint_public_access_cidrs  = var.api_server_cidrs
  endpoint_private_access_cidrs = var.api_server_private_cidrs
  kms_key_arn                   = module.kms.key_arns["eks"]
  logs_kms_key_arn              = module.kms.key_arns["logs"]
  log_retention_days            = var.log_retention_days
  node_group                    = var.nodes
  addon_versions                = var.addon_versions
  team_role_arns                = var.team_role_arns
  bootstrap_admin_role_arns     = var.bootstrap_admin_role_arns
  deletion_protection           = var.deletion_protection
  permissions_boundary_arn      = var.permissions_boundary_arn
}

module "cognito" {
  source = "../../modules/cognito"

  name                = local.name
  domain_prefix       = var.sign_in_prefix
  callback_urls       = ["https://${var.host}/docs"]
  logout_urls         = ["https://${var.host}/docs"]
  advanced_security   = var.advanced_security
  deletion_protection = var.deletion_protection
}

module "observability" {
  source = "../../modules/observability"

  name                     = local.name
  environment              = var.environment
  cluster_name             = module.eks.cluster_name
  cluster_arn              = module.eks.cluster_arn
  logs_kms_key_arn         = module.kms.key_arns["logs"]
  sns_kms_key_arn          = module.kms.key_arns["sns"]
  log_retention_days       = var.log_retention_days
  runbook_base_url         = var.runbook_base_url
  page_subscriptions       = var.page_subscriptions
  ticket_subscriptions     = var.ticket_subscriptions
  addon_version            = var.cloudwatch_addon_version
  permissions_boundary_arn = var.permissions_boundary_arn
}

module "workload" {
  source = "../../modules/workload"

  name                      = local.name
  cluster_name              = module.eks.cluster_name
  cluster_arn               = module.eks.cluster_arn
  cluster_security_group_id = module.eks.cluster_security_group_id
  vpc_id                    = module.network.vpc_id
  zone_id                   = var.zone_id
  host                      = var.host
  pod_roles                 = { collector = module.observability.collector }
  permissions_boundary_arn  = var.permissions_boundary_arn
}
