output "topic_arns" {
  description = "The topics by name: page and ticket."
  value       = { for name, topic in aws_sns_topic.this : name => topic.arn }
}

output "log_groups" {
  description = "Names of the log groups: service (the service's lines), and those of the add-on."
  value       = local.groups
}

output "dashboard_name" {
  description = "Name of the dashboard."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}

output "alarm_names" {
  description = "Names of the alarms."
  value       = sort(local.alarms)
}

output "collector" {
  description = "The collector's role, and the namespace and service account of its pods."
  value       = merge(local.pods.collector, { role_arn = aws_iam_role.pods["collector"].arn })
}
