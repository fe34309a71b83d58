module "workload" {
  source = "../"

  name                      = "shoutback-staging"
  cluster_name              = "shoutback-staging"
  cluster_arn               = "arn:aws:eks:eu-central-1:111122223333:cluster/shoutback-staging"
  cluster_security_group_id = "sg-0aaaaaaaaaaaaaaaa"
  vpc_id                    = "vpc-0aaaaaaaaaaaaaaaa"
  zone_id                   = "Z0STAGING"
  host                      = "api.staging.example.com"

  pod_roles = {
    collector = {
      namespace       = "monitoring"
      service_account = "otel-collector"
      role_arn        = "arn:aws:iam::111122223333:role/shoutback-staging-collector"
    }
  }
}

output "pods" {
  value = module.workload.pods
}
