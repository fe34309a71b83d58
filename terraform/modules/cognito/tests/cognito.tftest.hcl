mock_provider "aws" {
  source          = "../../testing/aws"
  override_during = plan
}

variables {
  name              = "shoutback-production"
  domain_prefix     = "shoutback-example"
  callback_urls     = ["https://shoutback.example/docs", "http://localhost:5000/docs"]
  advanced_security = "enforced"
  mfa               = "optional"
  groups            = { shouters = 10, whisperers = 20 }
}

run "example" {
  command = plan

  module {
    source = "./example"
  }

  assert {
    condition     = output.issuer == "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEfGhI"
    error_message = "The issuer is the pool's."
  }

  assert {
    condition     = output.token_url == "https://shoutback-staging-example.auth.eu-central-1.amazoncognito.com/oauth2/token"
    error_message = "Tokens come from the domain's token endpoint."
  }
}

run "everything_set" {
  command = plan

  assert {
    condition     = aws_cognito_user_pool.this.user_pool_tier == "PLUS" && aws_cognito_user_pool.this.user_pool_add_ons[0].advanced_security_mode == "ENFORCED"
    error_message = "Threat protection, and the tier that has it."
  }

  assert {
    condition     = aws_cognito_user_pool.this.admin_create_user_config[0].allow_admin_create_user_only
    error_message = "Users cannot sign themselves up."
  }

  assert {
    condition     = aws_cognito_user_pool.this.deletion_protection == "ACTIVE"
    error_message = "The pool has deletion protection."
  }

  assert {
    condition     = aws_cognito_user_pool.this.mfa_configuration == "OPTIONAL" && aws_cognito_user_pool.this.software_token_mfa_configuration[0].enabled
    error_message = "The second factor is as configured."
  }

  assert {
    condition     = output.scope == "shoutback/shout" && one(aws_cognito_resource_server.this.scope).scope_name == "shout"
    error_message = "The resource server shoutback has the scope shout."
  }

  assert {
    condition     = aws_cognito_user_pool_client.machine.generate_secret && aws_cognito_user_pool_client.machine.allowed_oauth_flows == toset(["client_credentials"]) && aws_cognito_user_pool_client.machine.allowed_oauth_scopes == toset(["shoutback/shout"])
    error_message = "Machines have a secret, and get only the scope, by client_credentials."
  }

  assert {
    condition     = !aws_cognito_user_pool_client.people.generate_secret && aws_cognito_user_pool_client.people.allowed_oauth_flows == toset(["code"]) && aws_cognito_user_pool_client.people.callback_urls == var.callback_urls
    error_message = "People have no secret, and sign in by code, with the given callback URLs."
  }

  assert {
    condition     = alltrue([for client in [aws_cognito_user_pool_client.machine, aws_cognito_user_pool_client.people] : client.explicit_auth_flows == toset(["ALLOW_REFRESH_TOKEN_AUTH"]) && client.enable_token_revocation && client.prevent_user_existence_errors == "ENABLED"])
    error_message = "No client accepts passwords, tokens can be revoked, and errors do not reveal whether a user exists."
  }

  assert {
    condition     = { for name, group in aws_cognito_user_group.this : name => group.precedence } == { shouters = 10, whisperers = 20 }
    error_message = "The given groups exist."
  }

  assert {
    condition     = issensitive(output.machine_client_secret) && output.client_ids == [output.machine_client_id, output.public_client_id]
    error_message = "The secret is sensitive; both clients are in the output for the service."
  }
}

run "refused" {
  command = plan

  variables {
    name                 = "S"
    domain_prefix        = "my-aws-thing"
    callback_urls        = ["http://shoutback.example/docs"]
    logout_urls          = ["https://*.example"]
    advanced_security    = "maybe"
    mfa                  = "off"
    groups               = { "Everybody!" = 1 }
    access_token_minutes = 1440
  }

  expect_failures = [
    var.name,
    var.domain_prefix,
    var.callback_urls,
    var.logout_urls,
    var.advanced_security,
    var.mfa,
    var.groups,
    var.access_token_minutes,
  ]
}
