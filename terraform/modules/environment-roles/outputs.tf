output "role_arns" {
  description = "The roles by name: plan, which reads, and apply."
  value       = { for name, role in aws_iam_role.this : name => role.arn }
}
