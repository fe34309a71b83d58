locals {
  # In order: without network add-on and its credentials no node becomes ready, and the pods of the others need nodes.
  before_nodes = {
    "eks-pod-identity-agent" = { version = var.addon_versions.eks_pod_identity_agent, configuration = null }
    "kube-proxy"             = { version = var.addon_versions.kube_proxy, configuration = null }
    # Without this, NetworkPolicies have no effect. A string, as in the add-on's schema.
    "vpc-cni" = { version = var.addon_versions.vpc_cni, configuration = { enableNetworkPolicy = "true" } }
  }
  after_nodes = merge(
    { "coredns" = { version = var.addon_versions.coredns, configuration = null } },
    var.addon_versions.ebs_csi_driver == null ? {} : {
      # EKS has no default storage class since 1.30, and claims without one would stay pending.
      "aws-ebs-csi-driver" = { version = var.addon_versions.ebs_csi_driver, configuration = jsonencode({ defaultStorageClass = { enabled = true } }) }
    },
  )

  # Add-ons that call AWS, each with a separate role for its pods.
  addon_roles = merge(
    { "vpc-cni" = { role = "network", service_account = "aws-node", policy = "AmazonEKS_CNI_Policy" } },
    var.addon_versions.ebs_csi_driver == null ? {} : {
      "aws-ebs-csi-driver" = { role = "volumes", service_account = "ebs-csi-controller-sa", policy = "service-role/AmazonEBSCSIDriverPolicy" }
    },
  )
}

resource "aws_eks_addon" "before_nodes" {
  for_each = local.before_nodes

  cluster_name                = aws_eks_cluster.this.name
  addon_name                  = each.key
  addon_version               = each.value.version
  configuration_values        = each.value.configuration == null ? null : jsonencode(each.value.configuration)
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"

  dynamic "pod_identity_association" {
    for_each = contains(keys(local.addon_roles), each.key) ? [local.addon_roles[each.key]] : []
    content {
      role_arn        = aws_iam_role.addon[each.key].arn
      service_account = pod_identity_association.value.service_account
    }
  }

  depends_on = [aws_iam_role_policy_attachment.addon]
}

resource "aws_eks_addon" "after_nodes" {
  for_each = local.after_nodes

  cluster_name                = aws_eks_cluster.this.name
  addon_name                  = each.key
  addon_version               = each.value.version
  configuration_values        = each.value.configuration
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"

  dynamic "pod_identity_association" {
    for_each = contains(keys(local.addon_roles), each.key) ? [local.addon_roles[each.key]] : []
    content {
      role_arn        = aws_iam_role.addon[each.key].arn
      service_account = pod_identity_association.value.service_account
    }
  }

  depends_on = [aws_eks_node_group.this]
}

resource "aws_iam_role" "addon" {
  for_each = local.addon_roles

  name                 = "${var.name}-${each.value.role}"
  permissions_boundary = var.permissions_boundary_arn
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "PodsOfThisCluster"
      Effect    = "Allow"
      Principal = { Service = "pods.eks.amazonaws.com" }
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Condition = {
        StringEquals = {
          "aws:SourceAccount"                         = local.account
          "aws:SourceArn"                             = local.cluster_arn
          "aws:RequestTag/kubernetes-namespace"       = "kube-system"
          "aws:RequestTag/kubernetes-service-account" = each.value.service_account
        }
      }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "addon" {
  for_each = local.addon_roles

  role       = aws_iam_role.addon[each.key].name
  policy_arn = "${local.managed}/${each.value.policy}"
}
