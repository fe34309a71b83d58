output "state_bucket" {
  description = "Bucket of the state."
  value       = aws_s3_bucket.state.bucket
}

output "backend_configuration" {
  description = "The content of backend.hcl by environment; and that of the bootstrap, because its state may move into the bucket."
  value = {
    for root in setunion(var.environments, ["bootstrap"]) : root => <<-EOT
      bucket       = "${aws_s3_bucket.state.bucket}"
      key          = "${root}/terraform.tfstate"
      region       = "${var.region}"
      kms_key_id   = "${module.kms.key_arns["state"]}"
      encrypt      = true
      use_lockfile = true
    EOT
  }
}

output "repository_url" {
  description = "The registry's repository, the name of images without tag and digest."
  value       = module.ecr.repository_url
}

output "plan_role_arn" {
  description = "Role of pull requests, which reads."
  value       = module.github_oidc.plan_role_arn
}

output "apply_role_arns" {
  description = "Role of each environment, which applies."
  value       = module.github_oidc.apply_role_arns
}

output "push_role_arn" {
  description = "Role of the branch's builds, which pushes images."
  value       = module.github_oidc.push_role_arn
}

output "permissions_boundary_arns" {
  description = "Permissions boundary of each environment's roles, for its variables."
  value       = module.github_oidc.permissions_boundary_arns
}

output "zones" {
  description = "The created zones by environment: id, and the name servers to enter at the parent."
  value       = { for environment, zone in aws_route53_zone.this : environment => { id = zone.zone_id, name_servers = zone.name_servers } }
}
