output "topic_arn" {
  description = "The topic of all messages."
  value       = aws_sns_topic.this.arn
}
