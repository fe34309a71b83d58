module "ecr" {
  source = "../"

  kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
}

output "repository_url" {
  value = module.ecr.repository_url
}
