mock_provider "aws" {
  source          = "../../testing/aws"
  override_during = plan
}

variables {
  kms_key_arn      = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
  keep_undeployed  = null
  pull_account_ids = ["444455556666", "222233334444"]
}

run "example" {
  command = plan

  module {
    source = "./example"
  }

  assert {
    condition     = output.repository_url == "111122223333.dkr.ecr.eu-central-1.amazonaws.com/shoutback"
    error_message = "The repository's address is that of its images."
  }
}

run "kept_and_shared" {
  command = plan

  assert {
    condition     = aws_ecr_repository.this.image_tag_mutability == "IMMUTABLE"
    error_message = "Tags are immutable."
  }

  assert {
    condition     = aws_ecr_repository.this.image_scanning_configuration[0].scan_on_push
    error_message = "Images are scanned when they are pushed."
  }

  assert {
    condition     = aws_ecr_repository.this.encryption_configuration[0].encryption_type == "KMS" && aws_ecr_repository.this.encryption_configuration[0].kms_key == var.kms_key_arn
    error_message = "Images are encrypted with the given key."
  }

  assert {
    condition     = length([for rule in jsondecode(aws_ecr_lifecycle_policy.this.policy).rules : rule if rule.selection.countType == "imageCountMoreThan"]) == 0
    error_message = "Without a limit, no image is removed by count."
  }

  assert {
    condition = toset(jsondecode(aws_ecr_repository_policy.this[0].policy).Statement[0].Principal.AWS) == toset([
      "arn:aws:iam::222233334444:root",
      "arn:aws:iam::444455556666:root",
    ])
    error_message = "Only the given accounts may pull."
  }
}

run "refused" {
  command = plan

  variables {
    name             = "Shoutback!"
    kms_key_arn      = ""
    environments     = ["*"]
    keep_undeployed  = 3
    pull_account_ids = ["*"]
  }

  expect_failures = [
    var.name,
    var.kms_key_arn,
    var.environments,
    var.keep_undeployed,
    var.pull_account_ids,
  ]
}
