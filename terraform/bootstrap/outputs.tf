output "backend_configuration" {
  description = "The content of NAME.s3.tfbackend by environment; and that of the bootstrap, because its state moves into the bucket."
  value = {
    for root in setunion(var.environments, ["bootstrap"]) : root => <<-EOT
      bucket     = "${module.state.name}"
      key        = "${root}/terraform.tfstate"
      region     = "${var.region}"
      kms_key_id = "${module.kms.key_arns["state"]}"
    EOT
  }
}

output "repository_url" {
  description = "The registry's repository, the name of images without tag and digest."
  value       = module.ecr.repository_url
}

output "pull_role_arn" {
  description = "Role of main's jobs that verify and scan images."
  value       = module.github_oidc.pull_role_arn
}

output "push_role_arn" {
  description = "Role of main's builds, which pushes images."
  value       = module.github_oidc.push_role_arn
}

output "name_servers" {
  description = "Name servers of the created zones by environment, to enter at the parent; without those whose parent is created here, too."
  value       = { for environment, zone in aws_route53_zone.this : environment => zone.name_servers if local.parents[environment] == null }
}
