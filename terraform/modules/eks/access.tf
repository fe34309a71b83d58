locals {
  # The groups in the role bindings of gitops/platform/cluster/teams.
  team_groups = ["shoutback-auditors", "shoutback-break-glass", "shoutback-developers", "shoutback-sre"]
}

resource "aws_eks_access_entry" "this" {
  # EKS permits one entry per principal, with all of its groups. Administrators have none, but a policy.
  for_each = merge(
    transpose({ for group, arns in var.access.team_role_arns : group => tolist(arns) }),
    { for arn in var.access.bootstrap_admin_role_arns : arn => null },
  )

  cluster_name      = aws_eks_cluster.this.name
  principal_arn     = each.key
  kubernetes_groups = each.value
  type              = "STANDARD"
}

resource "aws_eks_access_policy_association" "bootstrap_admin" {
  for_each = var.access.bootstrap_admin_role_arns

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = aws_eks_access_entry.this[each.key].principal_arn
  policy_arn    = "arn:${local.partition}:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"

  access_scope {
    type = "cluster"
  }
}

check "no_lasting_administrator" {
  assert {
    condition     = length(var.access.bootstrap_admin_role_arns) == 0
    error_message = "bootstrap_admin_role_arns is not empty: administrators are for the first installation only."
  }
}
