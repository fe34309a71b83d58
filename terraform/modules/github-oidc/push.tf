resource "aws_iam_role" "push" {
  name                 = "shoutback-push"
  assume_role_policy   = local.trust["push"]
  max_session_duration = 3600
}

resource "aws_iam_role_policy" "push" {
  name = "push-images"
  role = aws_iam_role.push.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Sid = "LogIn", Effect = "Allow", Action = ["ecr:GetAuthorizationToken"], Resource = "*" },
      {
        # No permission to remove an image or to move a tag.
        Sid    = "PushAndTag"
        Effect = "Allow"
        Action = formatlist("ecr:%s", [
          "BatchCheckLayerAvailability", "BatchGetImage", "CompleteLayerUpload", "DescribeImages", "GetDownloadUrlForLayer", "InitiateLayerUpload",
          "PutImage", "UploadLayerPart",
        ])
        Resource = [var.repository_arn]
      },
    ]
  })
}
