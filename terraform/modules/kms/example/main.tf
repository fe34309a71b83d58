module "kms" {
  source = "../"

  name     = "shoutback-staging"
  purposes = ["eks", "logs", "sns"]
}

output "key_arns" {
  value = module.kms.key_arns
}
