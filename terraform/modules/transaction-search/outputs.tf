output "log_group" {
  description = "Where the spans are: what they cost is in this group's size."
  value       = "aws/spans"

  depends_on = [aws_cloudformation_stack.transaction_search]
}
