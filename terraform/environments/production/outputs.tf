output "cluster_name" {
  description = "Name of the cluster, for aws eks update-kubeconfig."
  value       = module.eks.cluster_name
}

output "region" {
  description = "Its region."
  value       = var.region
}

output "vpc_id" {
  description = "Its network, for the values of the load balancer controller: pods cannot read it from the node's metadata."
  value       = module.network.vpc_id
}

output "vpc_cidr" {
  description = "The network's range, from which the load balancer connects to NGINX."
  value       = module.network.vpc_cidr
}

output "nat_public_ips" {
  description = "Addresses from which the service calls SHOUTCLOUD."
  value       = module.network.nat_public_ips
}

output "repository_url" {
  description = "image.repository."
  value       = var.repository_url
}

output "host" {
  description = "ingress.host."
  value       = module.workload.host
}

output "zone_id" {
  description = "The host's zone, for cert-manager's issuer and external-dns."
  value       = module.workload.zone_id
}

output "certificate_arn" {
  description = "The host's certificate in ACM; null if cert-manager issues it."
  value       = module.workload.certificate_arn
}

output "cognito_user_pool_id" {
  description = "COGNITO_USER_POOL_IDS."
  value       = module.cognito.user_pool_id
}

output "cognito_client_ids" {
  description = "COGNITO_CLIENT_IDS, as a list: machines, then people."
  value       = module.cognito.client_ids
}

output "cognito_issuer" {
  description = "The pool's original issuer. The service derives it and AWS's second one from the pool's id."
  value       = module.cognito.issuer
}

output "cognito_domain" {
  description = "Host where people sign in: DOCS_COGNITO_DOMAIN."
  value       = module.cognito.domain
}

output "cognito_token_url" {
  description = "Token endpoint for machines: tests.tokenUrl."
  value       = module.cognito.token_url
}

output "cognito_scope" {
  description = "The scope that clients request: AUTH_REQUIRED_SCOPES."
  value       = module.cognito.scope
}

output "cognito_public_client_id" {
  description = "Client of people: DOCS_CLIENT_ID."
  value       = module.cognito.public_client_id
}

output "machine_client_id" {
  description = "Client of machines, for API clients and for helm test."
  value       = module.cognito.machine_client_id
}

output "machine_client_secret" {
  description = "Its secret."
  value       = module.cognito.machine_client_secret
  sensitive   = true
}

output "collector_role_arn" {
  description = "The role of the collector's pods."
  value       = module.observability.collector.role_arn
}

output "pods_with_roles" {
  description = "Service accounts with AWS roles, as NAMESPACE/SERVICEACCOUNT; GitOps must install pods with these names."
  value       = module.workload.pods
}

output "topic_arns" {
  description = "The SNS topics page and ticket."
  value       = module.observability.topic_arns
}

output "log_groups" {
  description = "Names of the log groups."
  value       = module.observability.log_groups
}

output "dashboard_name" {
  description = "The dashboard in CloudWatch."
  value       = module.observability.dashboard_name
}

output "alarm_names" {
  description = "The alarms in CloudWatch."
  value       = module.observability.alarm_names
}

output "placeholders" {
  description = "The values by which scripts/fill-values replaces each REPLACE_WITH_… in gitops/ENVIRONMENT."
  value = {
    REPLACE_WITH_ACCOUNT_ID       = regex("^[0-9]+", var.repository_url)
    REPLACE_WITH_REGION           = regex("\\.ecr\\.([a-z0-9-]+)\\.", var.repository_url)[0]
    REPLACE_WITH_USER_POOL_ID     = module.cognito.user_pool_id
    REPLACE_WITH_CLIENT_IDS       = join(",", module.cognito.client_ids)
    REPLACE_WITH_COGNITO_DOMAIN   = module.cognito.domain
    REPLACE_WITH_PUBLIC_CLIENT_ID = module.cognito.public_client_id
    REPLACE_WITH_API_HOST         = module.workload.host
    REPLACE_WITH_VPC_ID           = module.network.vpc_id
    REPLACE_WITH_ZONE_ID          = module.workload.zone_id
    REPLACE_WITH_DOCS_HOST        = trimprefix(var.runbook_base_url, "https://")
  }
}
