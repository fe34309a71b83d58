output "host" {
  description = "Host of the API."
  value       = var.host
}

output "zone_id" {
  description = "Its zone, for cert-manager's issuer."
  value       = var.zone_id
}

output "certificate_arn" {
  description = "Its certificate, once it is valid; null if cert-manager issues it."
  value       = one(aws_acm_certificate_validation.this[*].certificate_arn)
}

output "role_arns" {
  description = "Roles of pods that are created here, by the last part of their names."
  value       = { for name, role in aws_iam_role.pods : name => role.arn }
}

output "pods" {
  description = "Service accounts with roles, as NAMESPACE/SERVICEACCOUNT."
  value       = sort([for pods in local.pods : "${pods.namespace}/${pods.service_account}"])
}
