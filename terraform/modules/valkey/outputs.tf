output "store" {
  description = "Host of the primary node, port 6379 with TLS; and the secret in Secrets Manager with username and password, for the SecretProviderClass."
  value       = { endpoint = aws_elasticache_replication_group.this.primary_endpoint_address, secret_name = "${var.context.name}-valkey" }

  depends_on = [aws_cloudformation_stack.user]
}

output "pods" {
  description = "NAMESPACE/SERVICEACCOUNT of the pods that may read the secret."
  value       = module.pod_role.pods
}
