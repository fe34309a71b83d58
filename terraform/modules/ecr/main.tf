data "aws_partition" "current" {}

resource "aws_ecr_repository" "this" {
  name                 = "shoutback"
  image_tag_mutability = "IMMUTABLE"

  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = var.kms_key_arn
  }

  image_scanning_configuration {
    scan_on_push = true
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  repository = aws_ecr_repository.this.name
  policy = jsonencode({ rules = concat(
    # An image that matches a rule's tag cannot be expired by a later rule. So the first ones, one rule per environment, retain
    # deployed images: they expire them after a hundred years. All patterns of one rule would have to match.
    [for index, environment in sort(var.environments) : {
      rulePriority = 1 + index
      description  = "Images deployed to ${environment} stay"
      selection = {
        tagStatus      = "tagged"
        tagPatternList = ["${environment}-*"]
        countType      = "sinceImagePushed"
        countUnit      = "days"
        countNumber    = 36500
      }
      action = { type = "expire" }
    }],
    [{
      rulePriority = 1 + length(var.environments)
      description  = "Of images that were never deployed, the newest 500 stay"
      selection    = { tagStatus = "tagged", tagPatternList = ["*"], countType = "imageCountMoreThan", countNumber = 500 }
      action       = { type = "expire" }
    }],
  ) })
}

resource "aws_ecr_repository_policy" "this" {
  count = length(var.pull_account_ids) > 0 ? 1 : 0

  repository = aws_ecr_repository.this.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OtherAccountsPull"
      Effect    = "Allow"
      Principal = { AWS = [for id in sort(var.pull_account_ids) : "arn:${data.aws_partition.current.partition}:iam::${id}:root"] }
      Action    = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    }]
  })
}
