output "log_group" {
  description = "Log group of the spans; its size determines their cost."
  value       = "aws/spans"

  depends_on = [aws_cloudformation_stack.transaction_search]
}
