module "eks" {
  source = "../"

  name             = "shoutback-staging"
  subnet_ids       = ["subnet-0aaaaaaaaaaaaaaaa", "subnet-0bbbbbbbbbbbbbbbb", "subnet-0cccccccccccccccc"]
  kms_key_arn      = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
  logs_kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/11111111-1111-1111-1111-111111111111"

  # Versions of the example; use those that `aws eks describe-addon-versions` lists.
  addon_versions = {
    coredns                = "v1.0.0-eksbuild.1"
    eks_pod_identity_agent = "v1.0.0-eksbuild.1"
    kube_proxy             = "v1.36.0-eksbuild.1"
    vpc_cni                = "v1.0.0-eksbuild.1"
  }

  team_role_arns = {
    shoutback-developers = ["arn:aws:iam::111122223333:role/Developers"]
    shoutback-sre        = ["arn:aws:iam::111122223333:role/SRE"]
  }
}

output "cluster_name" {
  value = module.eks.cluster_name
}
