mock_provider "aws" {
  source          = "../../testing/aws"
  override_during = plan
}

variables {
  name                          = "shoutback-production"
  subnet_ids                    = ["subnet-0aaaaaaaaaaaaaaaa", "subnet-0bbbbbbbbbbbbbbbb", "subnet-0cccccccccccccccc"]
  kms_key_arn                   = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
  logs_kms_key_arn              = "arn:aws:kms:eu-central-1:111122223333:key/11111111-1111-1111-1111-111111111111"
  permissions_boundary_arn      = "arn:aws:iam::111122223333:policy/shoutback-production-boundary"
  endpoint_public_access_cidrs  = ["198.51.100.0/24"]
  endpoint_private_access_cidrs = ["10.99.0.0/16"]
  bootstrap_admin_role_arns     = ["arn:aws:iam::111122223333:role/Installer"]
  addon_versions = {
    coredns                = "v1.0.1-eksbuild.1"
    ebs_csi_driver         = "v1.0.5-eksbuild.1"
    eks_pod_identity_agent = "v1.0.2-eksbuild.1"
    kube_proxy             = "v1.36.3-eksbuild.1"
    vpc_cni                = "v1.0.4-eksbuild.1"
  }
  team_role_arns = {
    shoutback-auditors    = ["arn:aws:iam::111122223333:role/Auditors", "arn:aws:iam::111122223333:role/SRE"]
    shoutback-break-glass = ["arn:aws:iam::111122223333:role/BreakGlass"]
    shoutback-sre         = ["arn:aws:iam::111122223333:role/SRE"]
  }
}

run "example" {
  command = plan

  module {
    source = "./example"
  }

  assert {
    condition     = output.cluster_name == "shoutback-staging"
    error_message = "The cluster has the given name."
  }
}

run "everything_set" {
  command = plan

  expect_failures = [check.no_lasting_administrator]

  assert {
    condition     = aws_eks_cluster.this.access_config[0].authentication_mode == "API" && aws_eks_cluster.this.access_config[0].bootstrap_cluster_creator_admin_permissions == false
    error_message = "Access is only by access entries, and the creator of the cluster is not its administrator."
  }

  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].endpoint_private_access && aws_eks_cluster.this.vpc_config[0].public_access_cidrs == toset(["198.51.100.0/24"])
    error_message = "The API server is reachable from inside, and from outside for the given ranges."
  }

  assert {
    condition     = aws_eks_cluster.this.version == "1.36" && aws_eks_node_group.this.version == "1.36"
    error_message = "Control plane and nodes have the same version, by default 1.36."
  }

  assert {
    condition     = aws_eks_cluster.this.enabled_cluster_log_types == toset(["api", "audit", "authenticator", "controllerManager", "scheduler"])
    error_message = "All logs of the control plane are enabled."
  }

  assert {
    condition     = aws_launch_template.nodes.metadata_options[0].http_tokens == "required" && aws_launch_template.nodes.metadata_options[0].http_put_response_hop_limit == 1
    error_message = "IMDSv2 with a hop limit of 1."
  }

  assert {
    condition     = aws_eks_node_group.this.ami_type == "AL2023_x86_64_STANDARD" && tolist(aws_eks_node_group.this.instance_types) == tolist(["t3.medium"])
    error_message = "t3.medium with AL2023."
  }

  assert {
    condition     = jsondecode(aws_eks_addon.after_nodes["aws-ebs-csi-driver"].configuration_values).defaultStorageClass.enabled
    error_message = "There is a default storage class."
  }

  assert {
    condition = tomap({ for name, addon in merge(aws_eks_addon.before_nodes, aws_eks_addon.after_nodes) : name => addon.addon_version }) == tomap({
      "aws-ebs-csi-driver"     = "v1.0.5-eksbuild.1"
      "coredns"                = "v1.0.1-eksbuild.1"
      "eks-pod-identity-agent" = "v1.0.2-eksbuild.1"
      "kube-proxy"             = "v1.36.3-eksbuild.1"
      "vpc-cni"                = "v1.0.4-eksbuild.1"
    })
    error_message = "Add-ons have the given versions."
  }

  assert {
    condition     = jsondecode(aws_eks_addon.before_nodes["vpc-cni"].configuration_values).enableNetworkPolicy == "true"
    error_message = "NetworkPolicies are enforced."
  }

  assert {
    condition     = { for arn, entry in aws_eks_access_entry.team : arn => tolist(sort(entry.kubernetes_groups)) }["arn:aws:iam::111122223333:role/SRE"] == tolist(["shoutback-auditors", "shoutback-sre"])
    error_message = "A role in two teams has one entry with both groups."
  }

  assert {
    condition     = alltrue([for entry in aws_eks_access_entry.team : entry.type == "STANDARD"]) && toset(keys(aws_eks_access_policy_association.bootstrap_admin)) == var.bootstrap_admin_role_arns
    error_message = "There are administrators only for the first installation."
  }

  assert {
    condition     = aws_eks_cluster.this.deletion_protection
    error_message = "The cluster has deletion protection."
  }

  assert {
    condition     = alltrue([for role in concat([aws_iam_role.cluster, aws_iam_role.node], values(aws_iam_role.addon)) : role.permissions_boundary == var.permissions_boundary_arn])
    error_message = "Roles have the boundary."
  }
}

run "refused" {
  command = plan

  variables {
    name                          = "S"
    kubernetes_version            = "1.34"
    subnet_ids                    = ["subnet-0aaaaaaaaaaaaaaaa"]
    endpoint_public_access_cidrs  = ["0.0.0.0/0"]
    endpoint_private_access_cidrs = ["198.51.100.0/24"]
    kms_key_arn                   = ""
    logs_kms_key_arn              = ""
    log_retention_days            = 1
    node_group                    = { min_size = 4, desired_size = 3 }
    addon_versions                = { coredns = "latest", eks_pod_identity_agent = "v1.0.2", kube_proxy = "", vpc_cni = "v1" }
    team_role_arns                = { "system:masters" = ["arn:aws:iam::111122223333:role/SRE"] }
  }

  expect_failures = [
    var.name,
    var.kubernetes_version,
    var.subnet_ids,
    var.endpoint_public_access_cidrs,
    var.endpoint_private_access_cidrs,
    var.kms_key_arn,
    var.logs_kms_key_arn,
    var.log_retention_days,
    var.node_group,
    var.addon_versions,
    var.team_role_arns,
  ]
}

run "refused_in_other_ways" {
  command = plan

  variables {
    endpoint_public_access_cidrs = ["0.0.0.0/1", "128.0.0.0/1"]
    bootstrap_admin_role_arns    = ["arn:aws:iam::111122223333:root"]
  }

  expect_failures = [
    var.endpoint_public_access_cidrs,
    var.bootstrap_admin_role_arns,
  ]
}
