output "repository_url" {
  description = "The repository, the name of images without tag and digest."
  value       = aws_ecr_repository.this.repository_url
}

output "repository_arn" {
  description = "Its ARN."
  value       = aws_ecr_repository.this.arn
}
