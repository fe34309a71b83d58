output "topic_arns" {
  description = "The topics by name: page, ticket, and heartbeat, to which Alertmanager sends Watchdog."
  value       = merge({ for name, topic in aws_sns_topic.this : name => topic.arn }, { heartbeat = aws_sns_topic.heartbeat.arn })
}

output "alarm_names" {
  description = "Names of the alarms."
  value       = sort(local.alarms)
}

output "pods" {
  description = "Service accounts with roles, as NAMESPACE/SERVICEACCOUNT."
  value       = [for role in module.pod_role : role.pods]
}
