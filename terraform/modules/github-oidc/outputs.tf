output "role_arns" {
  description = "The roles of each environment: plan, which reads, and apply."
  value       = { for environment, roles in module.environment : environment => roles.role_arns }
}

output "pull_role_arn" {
  description = "Role that reads images, their signatures and attestations."
  value       = aws_iam_role.pull.arn
}

output "push_role_arn" {
  description = "Role that pushes images."
  value       = aws_iam_role.push.arn
}
