mock_provider "aws" {
  source          = "../../testing/aws"
  override_during = plan
}

variables {
  name    = "shoutback-production"
  host    = "api.shoutback.example.com"
  sign_in = { domain_prefix = "shoutback-example", advanced_security = "enforced" }
}

run "everything_set" {
  command = plan

  assert {
    condition     = output.settings.issuer == "https://cognito-idp.us-east-2.amazonaws.com/us-east-2_AbCdEfGhI" && output.settings.token_url == "https://shoutback-example.auth.us-east-2.amazoncognito.com/oauth2/token"
    error_message = "The issuer is the pool's, and tokens come from the domain's token endpoint."
  }

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
    condition     = aws_cognito_user_pool.this.mfa_configuration == "ON" && aws_cognito_user_pool.this.software_token_mfa_configuration[0].enabled
    error_message = "People need a second factor."
  }

  assert {
    condition     = output.settings.scope == "shoutback/shout" && one(aws_cognito_resource_server.this.scope).scope_name == "shout"
    error_message = "The resource server shoutback has the scope shout."
  }
}

run "without_protection" {
  command = plan

  variables {
    sign_in             = { domain_prefix = "shoutback-example", advanced_security = "off" }
    deletion_protection = false
  }

  assert {
    condition     = aws_cognito_user_pool.this.user_pool_tier == "ESSENTIALS" && aws_cognito_user_pool.this.deletion_protection == "INACTIVE"
    error_message = "Threat protection and deletion protection are off."
  }
}

run "refused" {
  command = plan

  variables {
    sign_in = { domain_prefix = "my-aws-thing", advanced_security = "off" }
  }

  expect_failures = [var.sign_in]
}

run "refused_in_another_way" {
  command = plan

  variables {
    sign_in = { domain_prefix = "shoutback-example", advanced_security = "maybe" }
  }

  expect_failures = [var.sign_in]
}
