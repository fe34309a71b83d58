output "role_arn" {
  description = "ARN of the role."
  value       = aws_iam_role.this.arn
}

output "pods" {
  description = "NAMESPACE/SERVICEACCOUNT of the pods."
  value       = "${var.namespace}/${var.service_account}"

  depends_on = [aws_eks_pod_identity_association.this, aws_iam_role_policy.this]
}
