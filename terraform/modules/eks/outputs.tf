output "cluster" {
  description = "Name and ARN of the cluster, once EKS has made it."
  value       = { name = aws_eks_cluster.this.name, arn = aws_eks_cluster.this.arn }
}

output "security_group_id" {
  description = "Security group of control plane and nodes."
  value       = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}

output "node_role_name" {
  description = "Role of the nodes, for the NodeClass."
  value       = aws_iam_role.node.name
}
