output "plan_role_arn" {
  description = "Role for pull requests, which reads."
  value       = aws_iam_role.plan.arn
}

output "apply_role_arns" {
  description = "Role of each environment, which applies."
  value       = { for environment, role in aws_iam_role.apply : environment => role.arn }
}

output "push_role_arn" {
  description = "Role that pushes images."
  value       = aws_iam_role.push.arn
}

output "permissions_boundary_arns" {
  description = "Permissions boundary by environment, which every role of its Terraform must have."
  value       = { for environment, policy in aws_iam_policy.boundary : environment => policy.arn }
}
