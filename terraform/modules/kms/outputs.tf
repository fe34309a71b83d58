output "key_arns" {
  description = "ARN of each key, by its purpose."
  value       = { for purpose, key in local.keys : purpose => key.arn }
}
