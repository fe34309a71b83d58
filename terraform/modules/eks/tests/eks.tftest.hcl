mock_provider "aws" {
  source          = "../../testing/aws"
  override_during = plan
}

variables {
  context = {
    name                     = "shoutback-production"
    permissions_boundary_arn = "arn:aws:iam::111122223333:policy/shoutback-production-boundary"
  }
  logs               = { kms_key_arn = "arn:aws:kms:us-east-2:111122223333:key/11111111-1111-1111-1111-111111111111", retention_days = 365 }
  kubernetes_version = "1.36"
  subnet_ids         = ["subnet-0aaaaaaaaaaaaaaaa", "subnet-0bbbbbbbbbbbbbbbb", "subnet-0cccccccccccccccc"]
  kms_key_arn        = "arn:aws:kms:us-east-2:111122223333:key/00000000-0000-0000-0000-000000000000"
  access = {
    public_cidrs              = ["198.51.100.0/24"]
    private_cidrs             = ["10.99.0.0/16"]
    bootstrap_admin_role_arns = ["arn:aws:iam::111122223333:role/Installer"]
    team_role_arns = {
      shoutback-auditors    = ["arn:aws:iam::111122223333:role/Auditors", "arn:aws:iam::111122223333:role/SRE"]
      shoutback-break-glass = ["arn:aws:iam::111122223333:role/BreakGlass"]
      shoutback-sre         = ["arn:aws:iam::111122223333:role/SRE"]
    }
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
    condition     = aws_eks_cluster.this.enabled_cluster_log_types == toset(["api", "audit", "authenticator", "controllerManager", "scheduler"])
    error_message = "All logs of the control plane are enabled."
  }

  # EKS rejects a cluster with one or two of the three.
  assert {
    condition = alltrue([
      aws_eks_cluster.this.compute_config[0].enabled,
      aws_eks_cluster.this.storage_config[0].block_storage[0].enabled,
      aws_eks_cluster.this.kubernetes_network_config[0].elastic_load_balancing[0].enabled,
      !aws_eks_cluster.this.bootstrap_self_managed_addons,
    ])
    error_message = "Auto Mode runs nodes, volumes and load balancers, and no add-on does."
  }

  assert {
    condition     = aws_eks_cluster.this.upgrade_policy[0].support_type == "STANDARD" && aws_eks_cluster.this.zonal_shift_config[0].enabled
    error_message = "No extended support, and traffic can be moved out of a zone."
  }

  assert {
    condition     = tolist(sort(aws_eks_access_entry.this["arn:aws:iam::111122223333:role/SRE"].kubernetes_groups)) == tolist(["shoutback-auditors", "shoutback-sre"])
    error_message = "A role in two teams has one entry with both groups."
  }

  assert {
    condition     = alltrue([for entry in aws_eks_access_entry.this : entry.type == "STANDARD"]) && toset(keys(aws_eks_access_policy_association.bootstrap_admin)) == var.access.bootstrap_admin_role_arns
    error_message = "There are administrators only for the first installation."
  }

  assert {
    condition     = aws_eks_cluster.this.deletion_protection
    error_message = "The cluster has deletion protection."
  }

  assert {
    condition     = alltrue([for role in [aws_iam_role.cluster, aws_iam_role.node] : role.permissions_boundary == var.context.permissions_boundary_arn])
    error_message = "Roles have the boundary."
  }
}

run "private" {
  command = plan

  variables {
    access = { public_cidrs = [], private_cidrs = [], team_role_arns = {}, bootstrap_admin_role_arns = [] }
  }

  assert {
    condition     = !aws_eks_cluster.this.vpc_config[0].endpoint_public_access
    error_message = "Without ranges there is no public endpoint."
  }
}

run "refused_as_open_to_the_world" {
  command = plan

  variables {
    access             = { public_cidrs = ["0.0.0.0/0"], private_cidrs = [], team_role_arns = {}, bootstrap_admin_role_arns = [] }
    kubernetes_version = "1.34"
  }

  expect_failures = [var.kubernetes_version, var.access]
}

run "refused_as_two_halves_of_the_world" {
  command = plan

  variables {
    access = { public_cidrs = ["0.0.0.0/1", "128.0.0.0/1"], private_cidrs = [], team_role_arns = {}, bootstrap_admin_role_arns = [] }
  }

  expect_failures = [var.access]
}

run "refused_as_public" {
  command = plan

  variables {
    access = { public_cidrs = ["198.51.100.0/24"], private_cidrs = ["198.51.100.0/24"], team_role_arns = {}, bootstrap_admin_role_arns = [] }
  }

  expect_failures = [var.access]
}

run "refused_as_masters" {
  command = plan

  variables {
    access = { public_cidrs = ["198.51.100.0/24"], private_cidrs = [], team_role_arns = { "system:masters" = ["arn:aws:iam::111122223333:role/SRE"] }, bootstrap_admin_role_arns = [] }
  }

  expect_failures = [var.access]
}

run "refused_as_root" {
  command = plan

  variables {
    access = { public_cidrs = ["198.51.100.0/24"], private_cidrs = [], team_role_arns = {}, bootstrap_admin_role_arns = ["arn:aws:iam::111122223333:root"] }
  }

  expect_failures = [var.access]
}

run "refused_as_both" {
  command = plan

  variables {
    access = { public_cidrs = ["198.51.100.0/24"], private_cidrs = [], team_role_arns = { shoutback-sre = ["arn:aws:iam::111122223333:role/SRE"] }, bootstrap_admin_role_arns = ["arn:aws:iam::111122223333:role/SRE"] }
  }

  expect_failures = [var.access]
}
