output "pull_role_arn" {
  description = "Role that reads images, their signatures and attestations."
  value       = aws_iam_role.this["pull"].arn
}

output "push_role_arn" {
  description = "Role that pushes images."
  value       = aws_iam_role.this["push"].arn
}
