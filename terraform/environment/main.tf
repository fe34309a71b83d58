provider "aws" {
  region              = var.account.region
  allowed_account_ids = [var.account.id]

  default_tags {
    tags = {
      project     = "shoutback"
      environment = var.environment
    }
  }
}

data "aws_partition" "current" {}

locals {
  name     = "shoutback-${var.environment}"
  logs     = { kms_key_arn = module.kms.key_arns["logs"], retention_days = var.log_retention_days }
  registry = "${coalesce(var.account.registry_account_id, var.account.id)}.dkr.ecr.${var.account.region}.${data.aws_partition.current.dns_suffix}"

  # What the modules have in common: each declares the attributes that it uses.
  context = {
    name                     = local.name
    environment              = var.environment
    runbook_base_url         = var.runbook_base_url
    permissions_boundary_arn = "arn:${data.aws_partition.current.partition}:iam::${var.account.id}:policy/${local.name}-boundary"
  }
}

module "kms" {
  source = "../modules/kms"

  name     = local.name
  purposes = toset(var.valkey == null ? ["eks", "logs", "sns"] : ["eks", "logs", "sns", "valkey"])
}

module "network" {
  source = "../modules/network"

  context = local.context
  network = var.network
  logs    = local.logs
}

module "eks" {
  source = "../modules/eks"

  context             = local.context
  kubernetes_version  = var.cluster.kubernetes_version
  subnet_ids          = module.network.private_subnet_ids
  access              = var.cluster
  kms_key_arn         = module.kms.key_arns["eks"]
  logs                = local.logs
  deletion_protection = var.deletion_protection
}

module "cognito" {
  source = "../modules/cognito"

  name                = local.name
  host                = var.dns.host
  sign_in             = var.sign_in
  deletion_protection = var.deletion_protection
}

module "observability" {
  source = "../modules/observability"

  context                  = local.context
  cluster                  = module.eks.cluster
  nat_gateways             = module.network.nat_gateways
  logs                     = local.logs
  sns_kms_key_arn          = module.kms.key_arns["sns"]
  subscriptions            = { page = var.page_subscriptions, ticket = var.ticket_subscriptions }
  cloudwatch_addon_version = var.cluster.cloudwatch_addon_version
}

module "dns" {
  source = "../modules/dns"

  context = local.context
  cluster = module.eks.cluster
  dns     = var.dns
}

module "valkey" {
  source = "../modules/valkey"
  count  = var.valkey == null ? 0 : 1

  context          = local.context
  cluster          = module.eks.cluster
  network          = { vpc_id = module.network.vpc_id, subnet_ids = module.network.private_subnet_ids, pods_security_group_id = module.eks.security_group_id }
  valkey           = var.valkey
  kms_key_arn      = module.kms.key_arns["valkey"]
  ticket_topic_arn = module.observability.topic_arns["ticket"]
}
