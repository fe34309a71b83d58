# For jobs that verify or scan images. Permission to list an image's signatures is that of BatchGetImage.
resource "aws_iam_role" "pull" {
  name                 = "shoutback-pull"
  assume_role_policy   = local.trust["pull"]
  max_session_duration = 3600
}

resource "aws_iam_role_policy" "pull" {
  name = "pull-images"
  role = aws_iam_role.pull.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Sid = "LogIn", Effect = "Allow", Action = ["ecr:GetAuthorizationToken"], Resource = "*" },
      {
        Sid      = "Pull"
        Effect   = "Allow"
        Action   = formatlist("ecr:%s", ["BatchCheckLayerAvailability", "BatchGetImage", "DescribeImages", "GetDownloadUrlForLayer"])
        Resource = [var.repository_arn]
      },
    ]
  })
}
