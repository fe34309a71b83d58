output "pull_role_arn" {
  description = "Role that reads images, their signatures and attestations."
  value       = aws_iam_role.pull.arn
}

output "push_role_arn" {
  description = "Role that pushes images."
  value       = aws_iam_role.push.arn
}
