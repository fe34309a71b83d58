# Runs with the values of each environment: terraform test -var-file=staging.tfvars.
mock_provider "aws" {
  source = "../testing/aws"
}

variables {
  page_subscriptions   = { on-call = { protocol = "https", endpoint = "https://pager.example.com/integration/key" } }
  ticket_subscriptions = { team = { protocol = "email", endpoint = "shoutback@example.com" } }
}

run "shipped_values" {
  assert {
    condition     = output.cluster.name == "shoutback-${var.environment}"
    error_message = "Names contain the environment."
  }

  assert {
    condition     = output.repository_url == "111122223333.dkr.ecr.us-east-2.amazonaws.com/shoutback"
    error_message = "Images come from the account's own registry."
  }

  assert {
    condition     = output.placeholders.REPLACE_WITH_CLIENT_IDS == "1machine23456789,1people234567890" && output.placeholders.REPLACE_WITH_REGION == "us-east-2"
    error_message = "The placeholders have the values of the outputs."
  }

  assert {
    condition     = alltrue([for name in output.alarms.names : startswith(name, "${var.environment}-")])
    error_message = "Alarms begin with the environment's name."
  }

  assert {
    condition     = output.valkey == null && length(module.valkey) == 0
    error_message = "There is no shared store unless one is configured."
  }
}

run "with_valkey_and_another_registry" {
  variables {
    account = { id = "111122223333", region = "us-east-2", registry_account_id = "444455556666" }
    valkey  = { engine_version = "8.1", secrets_addon_version = "v2.2.2-eksbuild.1" }
  }

  assert {
    condition     = output.valkey.secret_name == "shoutback-${var.environment}-valkey" && contains(output.pods_with_roles, "shoutback/shoutback")
    error_message = "The service's pods read the password of the store."
  }

  assert {
    condition     = output.repository_url == "444455556666.dkr.ecr.us-east-2.amazonaws.com/shoutback" && startswith(output.placeholders.REPLACE_WITH_IMAGE_CACHE, "111122223333.")
    error_message = "The service's images come from the given account, those of others from the cache of the own one."
  }
}

run "refused" {
  command = plan

  variables {
    environment        = "Test"
    account            = { id = "shoutback", region = "Ohio" }
    log_retention_days = 7
  }

  expect_failures = [
    var.environment,
    var.account,
    var.log_retention_days,
  ]
}

run "refused_with_zones_of_another_region" {
  command = plan

  variables {
    network = { cidr = "10.20.0.0/16", availability_zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"], single_nat_gateway = true }
  }

  expect_failures = [var.network]
}
