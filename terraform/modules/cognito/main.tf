data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  region = data.aws_region.current.region
  domain = "${aws_cognito_user_pool_domain.this.domain}.auth.${local.region}.amazoncognito.com"
  scope  = "${aws_cognito_resource_server.this.identifier}/shout"
}

resource "aws_cognito_user_pool" "this" {
  name                     = var.name
  user_pool_tier           = var.sign_in.advanced_security == "off" ? "ESSENTIALS" : "PLUS"
  deletion_protection      = var.deletion_protection ? "ACTIVE" : "INACTIVE"
  mfa_configuration        = "ON"
  username_attributes      = ["email"]
  auto_verified_attributes = ["email"]

  username_configuration {
    case_sensitive = false
  }

  admin_create_user_config {
    allow_admin_create_user_only = true
  }

  password_policy {
    minimum_length                   = 14
    require_lowercase                = true
    require_numbers                  = true
    require_symbols                  = true
    require_uppercase                = true
    temporary_password_validity_days = 3
  }

  software_token_mfa_configuration {
    enabled = true
  }

  account_recovery_setting {
    recovery_mechanism {
      name     = "verified_email"
      priority = 1
    }
  }

  user_attribute_update_settings {
    attributes_require_verification_before_update = ["email"]
  }

  user_pool_add_ons {
    advanced_security_mode = upper(var.sign_in.advanced_security)
  }
}

resource "aws_cognito_user_pool_domain" "this" {
  domain                = var.sign_in.domain_prefix
  user_pool_id          = aws_cognito_user_pool.this.id
  managed_login_version = 2
}

resource "aws_cognito_resource_server" "this" {
  identifier   = "shoutback"
  name         = "Shoutback"
  user_pool_id = aws_cognito_user_pool.this.id

  scope {
    scope_name        = "shout"
    scope_description = "To have texts shouted"
  }
}

# AUTH_ALLOWED_GROUPS may require it.
resource "aws_cognito_user_group" "shouters" {
  name         = "shouters"
  precedence   = 10
  user_pool_id = aws_cognito_user_pool.this.id
}

locals {
  # What both clients have.
  client = {
    UserPoolId                      = aws_cognito_user_pool.this.id
    AllowedOAuthFlowsUserPoolClient = true
    EnableTokenRevocation           = true
    PreventUserExistenceErrors      = "ENABLED"
    AccessTokenValidity             = 60
  }

  clients = {
    AWSTemplateFormatVersion = "2010-09-09"
    Description              = "Clients of the user pool ${var.name}"
    Resources = {
      Machine = {
        Type = "AWS::Cognito::UserPoolClient"
        Properties = merge(local.client, {
          ClientName         = "${var.name}-machine"
          GenerateSecret     = true
          AllowedOAuthFlows  = ["client_credentials"]
          AllowedOAuthScopes = [local.scope]
          # Cognito's default permits sign-in with passwords.
          ExplicitAuthFlows  = ["ALLOW_REFRESH_TOKEN_AUTH"]
          TokenValidityUnits = { AccessToken = "minutes" }
        })
      }
      # The only copy outside Cognito: neither the state, nor a plan, nor an output has the secret.
      MachineSecret = {
        Type = "AWS::SecretsManager::Secret"
        Properties = {
          Name         = "${var.name}-machine-client"
          Description  = "Client of machines: client_id and client_secret"
          SecretString = { "Fn::Sub" = "{\"client_id\":\"$${Machine}\",\"client_secret\":\"$${Machine.ClientSecret}\"}" }
        }
      }
      People = {
        Type = "AWS::Cognito::UserPoolClient"
        Properties = merge(local.client, {
          ClientName                 = "${var.name}-people"
          GenerateSecret             = false
          AllowedOAuthFlows          = ["code"]
          AllowedOAuthScopes         = ["openid", local.scope]
          CallbackURLs               = ["https://${var.host}/docs"]
          LogoutURLs                 = ["https://${var.host}/docs"]
          SupportedIdentityProviders = ["COGNITO"]
          IdTokenValidity            = 60
          RefreshTokenValidity       = 1
          # Rotation excludes ALLOW_REFRESH_TOKEN_AUTH. Custom authentication fails without a Lambda trigger, so only the sign-in pages remain.
          ExplicitAuthFlows    = ["ALLOW_CUSTOM_AUTH"]
          RefreshTokenRotation = { Feature = "ENABLED", RetryGracePeriodSeconds = 10 }
          TokenValidityUnits   = { AccessToken = "minutes", IdToken = "minutes", RefreshToken = "days" }
        })
      }
    }
    Outputs = {
      MachineClientId = { Value = { Ref = "Machine" } }
      PeopleClientId  = { Value = { Ref = "People" } }
    }
  }
}

# A stack, because the resource of the provider reads the client's secret into the state, by an action that a role for plans must not have.
resource "aws_cloudformation_stack" "clients" {
  # checkov:skip=CKV_AWS_124: Terraform reports the result; there are no other consumers of the stack's events
  name          = "${var.name}-clients"
  template_body = jsonencode(local.clients)
}

# Without a style, version 2 of the sign-in pages shows an error.
resource "aws_cognito_managed_login_branding" "people" {
  client_id                   = aws_cloudformation_stack.clients.outputs["PeopleClientId"]
  user_pool_id                = aws_cognito_user_pool.this.id
  use_cognito_provided_values = true
}
