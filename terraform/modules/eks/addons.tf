locals {
  before_nodes = {
    "eks-pod-identity-agent" = { version = var.addon_versions.eks_pod_identity_agent, configuration = null }
    "kube-proxy"             = { version = var.addon_versions.kube_proxy, configuration = null }
    # Without this, NetworkPolicies are admitted and do nothing. A string: so the add-on's schema has it.
    "vpc-cni" = { version = var.addon_versions.vpc_cni, configuration = { enableNetworkPolicy = "true" } }
  }
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
    for_each = each.key == "vpc-cni" ? [aws_iam_role.network.arn] : []
    content {
      role_arn        = pod_identity_association.value
      service_account = "aws-node"
    }
  }

  depends_on = [aws_iam_role_policy_attachment.network]
}

# Its pods need nodes to be called active.
resource "aws_eks_addon" "coredns" {
  cluster_name                = aws_eks_cluster.this.name
  addon_name                  = "coredns"
  addon_version               = var.addon_versions.coredns
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"

  depends_on = [aws_eks_node_group.this]
}

resource "aws_iam_role" "network" {
  name                 = "${var.name}-network"
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
          "aws:RequestTag/kubernetes-service-account" = "aws-node"
        }
      }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "network" {
  role       = aws_iam_role.network.name
  policy_arn = "${local.managed}/AmazonEKS_CNI_Policy"
}
