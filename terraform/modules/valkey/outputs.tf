output "endpoint" {
  description = "Host of the primary node; port 6379, with TLS."
  value       = aws_elasticache_replication_group.this.primary_endpoint_address
}

output "secret_name" {
  description = "The secret in Secrets Manager with username and password, for the SecretProviderClass."
  value       = "${var.name}-valkey"

  depends_on = [aws_cloudformation_stack.user]
}

output "pods" {
  description = "NAMESPACE/SERVICEACCOUNT of the pods that may read the secret."
  value       = module.pod_role.pods
}
