mock_provider "aws" {
  source          = "../../testing/aws"
  override_during = plan
}

variables {
  kms_key_arn           = "arn:aws:kms:us-east-2:111122223333:key/00000000-0000-0000-0000-000000000000"
  environments          = ["production", "staging"]
  pull_account_ids      = ["444455556666", "222233334444"]
  docker_hub_secret_arn = "arn:aws:secretsmanager:us-east-2:111122223333:secret:ecr-pullthroughcache/docker-hub-AbCdEf"
}

run "shared" {
  command = plan

  assert {
    condition     = output.repository_url == "111122223333.dkr.ecr.us-east-2.amazonaws.com/shoutback"
    error_message = "The repository's address is that of its images."
  }

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
    condition = toset(jsondecode(aws_ecr_repository_policy.this[0].policy).Statement[0].Principal.AWS) == toset([
      "arn:aws:iam::222233334444:root",
      "arn:aws:iam::444455556666:root",
    ])
    error_message = "Only the given accounts may pull."
  }

  assert {
    condition     = { for prefix, rule in aws_ecr_pull_through_cache_rule.this : prefix => rule.upstream_registry_url } == { "docker.io" = "registry-1.docker.io", "quay.io" = "quay.io", "registry.k8s.io" = "registry.k8s.io" }
    error_message = "Three registries are cached."
  }

  assert {
    condition     = aws_ecr_pull_through_cache_rule.this["docker.io"].credential_arn == var.docker_hub_secret_arn && keys(aws_ecr_repository_creation_template.this) == keys(aws_ecr_pull_through_cache_rule.this)
    error_message = "Docker Hub is asked with an account, and every cache has a template."
  }
}

run "alone" {
  command = plan

  variables {
    pull_account_ids      = []
    docker_hub_secret_arn = null
  }

  assert {
    condition     = length(aws_ecr_repository_policy.this) == 0 && keys(aws_ecr_pull_through_cache_rule.this) == ["quay.io", "registry.k8s.io"]
    error_message = "No other account pulls, and Docker Hub is not cached without an account of it."
  }
}

run "refused" {
  command = plan

  variables {
    environments          = ["*"]
    pull_account_ids      = ["*"]
    docker_hub_secret_arn = "arn:aws:secretsmanager:us-east-2:111122223333:secret:docker-hub-AbCdEf"
  }

  expect_failures = [
    var.environments,
    var.pull_account_ids,
    var.docker_hub_secret_arn,
  ]
}
