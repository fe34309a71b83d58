mock_provider "aws" {
  source          = "../../testing/aws"
  override_during = plan
}

variables {
  context = {
    name                     = "shoutback-production"
    permissions_boundary_arn = "arn:aws:iam::111122223333:policy/shoutback-production-boundary"
  }
  cluster = { name = "shoutback-production", arn = "arn:aws:eks:us-east-2:111122223333:cluster/shoutback-production" }
  dns     = { zone = "shoutback.example.com", host = "api.shoutback.example.com", tools_host = "tools.shoutback.example.com" }
}

run "host_in_zone" {
  command = plan

  assert {
    condition     = output.zone_id == "Z0EXAMPLE" && toset(output.pods) == toset(["cert-manager/cert-manager", "external-dns/external-dns"])
    error_message = "Two controllers write into the zone."
  }
}

run "refused" {
  command = plan

  variables {
    dns = { zone = "shoutback.example.com.", host = "api.shoutback.example.com.", tools_host = "tools.shoutback.example.com." }
  }

  expect_failures = [var.dns]
}

run "refused_with_a_wildcard" {
  command = plan

  variables {
    dns = { zone = "shoutback.example.com", host = "*.shoutback.example.com", tools_host = "tools.shoutback.example.com" }
  }

  expect_failures = [var.dns]
}

run "refused_in_another_zone" {
  command = plan

  variables {
    dns = { zone = "shoutback.example.com", host = "api.shoutback.example.com", tools_host = "tools.shoutback.example.org" }
  }

  expect_failures = [var.dns]
}
