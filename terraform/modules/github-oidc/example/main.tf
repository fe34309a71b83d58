module "github_oidc" {
  source = "../"

  subject_prefixes  = ["repo:example/shoutback", "repo:example@1234567/shoutback@987654321"]
  state_bucket_arn  = "arn:aws:s3:::shoutback-terraform-111122223333"
  state_kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
  repository_arns   = ["arn:aws:ecr:eu-central-1:111122223333:repository/shoutback"]
  hosted_zone_arns = {
    staging    = ["arn:aws:route53:::hostedzone/Z0STAGING"]
    production = ["arn:aws:route53:::hostedzone/Z0PRODUCTION"]
  }
}

output "apply_role_arns" {
  value = module.github_oidc.apply_role_arns
}
