output "zone_id" {
  description = "The host's zone, for cert-manager's issuer and external-dns."
  value       = data.aws_route53_zone.this.zone_id
}

output "pods" {
  description = "Service accounts with roles, as NAMESPACE/SERVICEACCOUNT."
  value       = [for role in module.pod_role : role.pods]
}
