output "topic_arns" {
  description = "The topics page and ticket, by these names."
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
  description = "The collector's role, and whose pods it is for: namespace and service account."
  value       = merge(local.pods.collector, { role_arn = aws_iam_role.pods["collector"].arn })
}
