# Runs with the shipped values: terraform test -var-file=bootstrap.tfvars.
mock_provider "aws" {
  source          = "../testing/aws"
  override_during = plan
}

# A plan: what was applied in a test would have to be destroyed after it, which prevent_destroy forbids.
run "shipped_values" {
  command = plan

  assert {
    condition     = module.state.name == "shoutback-terraform-111122223333"
    error_message = "The bucket is named after the account."
  }

  assert {
    condition     = toset(keys(output.backend_configuration)) == toset(["bootstrap", "production", "staging"])
    error_message = "Each root has its own state."
  }

  assert {
    condition     = tomap({ for environment, zone in aws_route53_zone.this : environment => zone.name }) == var.zones && keys(output.name_servers) == ["production"]
    error_message = "Each environment has its zone, of which one is delegated by hand."
  }

  assert {
    condition     = keys(aws_route53_record.delegation) == ["staging"] && aws_route53_record.delegation["staging"].zone_id == aws_route53_zone.this["production"].zone_id && aws_route53_record.delegation["staging"].type == "NS"
    error_message = "The zone of production delegates that of staging."
  }

  assert {
    condition     = length(aws_cloudformation_stack.transaction_search) == 1
    error_message = "X-Ray accepts spans by OTLP."
  }

  assert {
    condition     = aws_ec2_instance_metadata_defaults.this.http_tokens == "required" && aws_s3_account_public_access_block.this.block_public_policy && aws_ebs_encryption_by_default.this.enabled
    error_message = "The account's defaults are the safe ones."
  }
}

run "production_in_its_own_account" {
  command = plan

  variables {
    environments       = ["production"]
    zones              = {}
    hosted_zone_arns   = { production = ["arn:aws:route53:::hostedzone/Z0PRODUCTION"] }
    transaction_search = false
  }

  assert {
    condition     = length(aws_route53_zone.this) == 0 && local.zone_arns["production"] == toset(["arn:aws:route53:::hostedzone/Z0PRODUCTION"])
    error_message = "Roles are limited to the given zones."
  }

  assert {
    condition     = length(aws_cloudformation_stack.transaction_search) == 0 && keys(output.backend_configuration) == ["bootstrap", "production"]
    error_message = "Only what is missing is created."
  }
}

run "refused" {
  command = plan

  variables {
    account_id       = "shoutback"
    zones            = { staging = "staging.example.com." }
    hosted_zone_arns = { elsewhere = [] }
  }

  expect_failures = [
    var.account_id,
    var.zones,
    var.hosted_zone_arns,
  ]
}

run "refused_as_a_domain_in_use" {
  command = plan

  variables {
    zones = { production = "example.com" }
  }

  expect_failures = [var.zones]
}
