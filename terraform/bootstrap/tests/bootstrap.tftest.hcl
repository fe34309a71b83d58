mock_provider "aws" {
  source = "../testing/aws"
}

variables {
  region           = "eu-central-1"
  subject_prefixes = ["repo:example/shoutback", "repo:example@1234567/shoutback@987654321"]
  zones = {
    staging    = "staging.example.com"
    production = "example.com"
  }
}

run "example" {
  assert {
    condition     = aws_s3_bucket.state.bucket == "shoutback-terraform-111122223333" && output.state_bucket == aws_s3_bucket.state.bucket && !aws_s3_bucket.state.force_destroy
    error_message = "The bucket is named after the account, and is not deleted with its objects."
  }

  assert {
    condition     = aws_s3_bucket_versioning.state.versioning_configuration[0].status == "Enabled"
    error_message = "Every version of the state can be restored."
  }

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.state.rule).apply_server_side_encryption_by_default).kms_master_key_id == module.kms.key_arns["state"]
    error_message = "State is encrypted by its own key."
  }

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.state.block_public_acls,
      aws_s3_bucket_public_access_block.state.block_public_policy,
      aws_s3_bucket_public_access_block.state.ignore_public_acls,
      aws_s3_bucket_public_access_block.state.restrict_public_buckets,
    ])
    error_message = "State is never public."
  }

  assert {
    condition     = one(aws_s3_bucket_ownership_controls.state.rule).object_ownership == "BucketOwnerEnforced"
    error_message = "No access by ACLs."
  }

  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.state.rule[0].noncurrent_version_expiration[0].newer_noncurrent_versions == 20
    error_message = "Twenty old versions are retained."
  }

  assert {
    condition     = toset(keys(output.backend_configuration)) == toset(["bootstrap", "production", "staging"]) && strcontains(output.backend_configuration["staging"], "key          = \"staging/terraform.tfstate\"")
    error_message = "Each environment has its own state."
  }

  assert {
    condition     = toset(keys(output.apply_role_arns)) == toset(["production", "staging"]) && toset(keys(output.permissions_boundary_arns)) == toset(["production", "staging"])
    error_message = "Each environment has its own role."
  }

  assert {
    condition     = tomap({ for environment, zone in aws_route53_zone.this : environment => zone.name }) == var.zones && toset(keys(output.zones)) == toset(["production", "staging"])
    error_message = "Each environment has its configured zone."
  }

  assert {
    condition     = length(module.transaction_search) == 1
    error_message = "X-Ray accepts spans by OTLP."
  }
}

run "zones_and_traces_of_others" {
  command = plan

  variables {
    zones              = {}
    hosted_zone_arns   = { staging = ["arn:aws:route53:::hostedzone/Z0STAGING"] }
    transaction_search = false
  }

  assert {
    condition     = length(aws_route53_zone.this) == 0 && local.zone_arns["staging"] == toset(["arn:aws:route53:::hostedzone/Z0STAGING"]) && length(local.zone_arns["production"]) == 0
    error_message = "Roles are limited to the given zones."
  }

  assert {
    condition     = length(module.transaction_search) == 0
    error_message = "If it is enabled already, it is not changed."
  }
}

run "refused" {
  command = plan

  variables {
    region           = "Frankfurt"
    name             = "S"
    zones            = { staging = "staging.example.com." }
    hosted_zone_arns = { elsewhere = [] }
    state_bucket     = "State"
  }

  expect_failures = [
    var.region,
    var.name,
    var.zones,
    var.hosted_zone_arns,
    var.state_bucket,
  ]
}
