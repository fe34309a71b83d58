module "cognito" {
  source = "../"

  name          = "shoutback-staging"
  domain_prefix = "shoutback-staging-example"
  callback_urls = ["https://staging.shoutback.example/docs"]
  logout_urls   = ["https://staging.shoutback.example/docs"]
}

output "issuer" {
  value = module.cognito.issuer
}

output "token_url" {
  value = module.cognito.token_url
}
