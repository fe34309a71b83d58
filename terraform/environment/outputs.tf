output "cluster" {
  description = "Name and region of the cluster, for aws eks update-kubeconfig, and the nodes' role, for the NodeClass."
  value       = { name = module.eks.cluster.name, region = var.account.region, node_role_name = module.eks.node_role_name }
}

output "network" {
  description = "The network's range, from which the load balancer connects to NGINX, and the addresses from which the service calls SHOUTCLOUD."
  value       = { cidr = module.network.vpc_cidr, public_ips = [for gateway in module.network.nat_gateways : gateway.public_ip] }
}

output "repository_url" {
  description = "image.repository."
  value       = "${local.registry}/shoutback"
}

output "dns" {
  description = "The host of the API, ingress.host; that of the web interfaces, tools.host; and their zone's id, for cert-manager's issuer and external-dns."
  value       = { host = var.dns.host, tools_host = var.dns.tools_host, zone_id = module.dns.zone_id }
}

output "cognito" {
  description = "The user pool: user_pool_id, client_ids of machine and people, issuer, domain, token_url, scope, and machine_secret_name."
  value       = module.cognito.settings
}

output "valkey" {
  description = "Host of the shared store, and its secret in Secrets Manager; null without one."
  value       = one(module.valkey[*].store)
}

output "pods_with_roles" {
  description = "Service accounts with AWS roles, as NAMESPACE/SERVICEACCOUNT; GitOps must install pods with these names."
  value       = sort(concat(module.dns.pods, module.observability.pods, module.valkey[*].pods))
}

output "alarms" {
  description = "Names of the alarms in CloudWatch, and the topics page, ticket, and heartbeat for Alertmanager."
  value       = { names = module.observability.alarm_names, topic_arns = module.observability.topic_arns }
}

output "placeholders" {
  description = "The values by which scripts/fill-values replaces each REPLACE_WITH_… in gitops/platform/ENVIRONMENT and gitops/service/ENVIRONMENT."
  value = {
    REPLACE_WITH_ACCOUNT_ID        = split(".", local.registry)[0]
    REPLACE_WITH_REGION            = var.account.region
    REPLACE_WITH_IMAGE_CACHE       = "${var.account.id}.dkr.ecr.${var.account.region}.${data.aws_partition.current.dns_suffix}"
    REPLACE_WITH_USER_POOL_ID      = module.cognito.settings.user_pool_id
    REPLACE_WITH_MACHINE_CLIENT_ID = module.cognito.settings.client_ids.machine
    REPLACE_WITH_CLIENT_IDS        = join(",", [module.cognito.settings.client_ids.machine, module.cognito.settings.client_ids.people])
    REPLACE_WITH_COGNITO_DOMAIN    = module.cognito.settings.domain
    REPLACE_WITH_PUBLIC_CLIENT_ID  = module.cognito.settings.client_ids.people
    REPLACE_WITH_API_HOST          = var.dns.host
    REPLACE_WITH_TOOLS_HOST        = var.dns.tools_host
    REPLACE_WITH_ZONE_ID           = module.dns.zone_id
    REPLACE_WITH_DOCS_HOST         = trimprefix(var.runbook_base_url, "https://")
  }
}
