# What differs from production by design.
environment        = "staging"
log_retention_days = 30
network = {
  cidr               = "10.20.0.0/16"
  single_nat_gateway = true
  availability_zones = ["us-east-2a", "us-east-2b", "us-east-2c"]
}

# Examples: put your own here. With the account 111122223333 nothing is applied.
account = { id = "111122223333", region = "us-east-2" }
cluster = {
  kubernetes_version       = "1.36"
  cloudwatch_addon_version = "v6.2.0-eksbuild.1"
  public_cidrs             = ["198.51.100.0/24"]
  team_role_arns = {
    shoutback-developers = ["arn:aws:iam::111122223333:role/Developers"]
    shoutback-sre        = ["arn:aws:iam::111122223333:role/SRE"]
  }
}
dns              = { zone = "staging.shoutback.example.com", host = "api.staging.shoutback.example.com", tools_host = "tools.staging.shoutback.example.com" }
sign_in          = { domain_prefix = "shoutback-staging-example" }
runbook_base_url = "https://docs.example.com/shoutback"
