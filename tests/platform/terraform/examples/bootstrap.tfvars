# Examples: put your own here.
account_id       = "111122223333"
region           = "us-east-2"
subject_prefixes = ["repo:example/shoutback", "repo:example@1234567/shoutback@987654321"]
zones = {
  staging    = "staging.shoutback.example.com"
  production = "shoutback.example.com"
}
guard_rails = {
  email                = "shoutback@example.com"
  monthly_budget       = 2200
  break_glass_role_arn = "arn:aws:iam::111122223333:role/BreakGlass"
}
