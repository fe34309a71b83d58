module "observability" {
  source = "../"

  name             = "shoutback-staging"
  environment      = "staging"
  cluster_name     = "shoutback-staging"
  cluster_arn      = "arn:aws:eks:eu-central-1:111122223333:cluster/shoutback-staging"
  logs_kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
  sns_kms_key_arn  = "arn:aws:kms:eu-central-1:111122223333:key/11111111-1111-1111-1111-111111111111"
  runbook_base_url = "https://docs.example.com/shoutback"

  # A version of the example; use one that `aws eks describe-addon-versions` lists.
  addon_version = "v1.0.0-eksbuild.1"

  page_subscriptions   = { on-call = { protocol = "https", endpoint = "https://pager.example.com/integration/key" } }
  ticket_subscriptions = { team = { protocol = "email", endpoint = "shoutback@example.com" } }
}

output "alarm_names" {
  value = module.observability.alarm_names
}
