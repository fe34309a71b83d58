output "cluster_name" {
  description = "Name of the cluster."
  value       = aws_eks_cluster.this.name

  # Dependants wait until there are nodes for their pods.
  depends_on = [aws_eks_addon.after_nodes]
}

output "cluster_arn" {
  description = "ARN of the cluster, for Pod Identity's trust policies."
  value       = aws_eks_cluster.this.arn
}

output "cluster_endpoint" {
  description = "The API server."
  value       = aws_eks_cluster.this.endpoint
}

output "cluster_certificate_authority_data" {
  description = "Its certificate authority, in base64."
  value       = aws_eks_cluster.this.certificate_authority[0].data
}

output "cluster_security_group_id" {
  description = "Security group of control plane and nodes."
  value       = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}

output "node_role_arn" {
  description = "Role of the nodes."
  value       = aws_iam_role.node.arn
}

output "team_groups" {
  description = "Kubernetes groups for access entries."
  value       = local.team_groups
}
