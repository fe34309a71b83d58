data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.region
  managed   = "arn:${local.partition}:iam::aws:policy"
}

# Created before the cluster, which would otherwise create it without key and retention.
resource "aws_cloudwatch_log_group" "control_plane" {
  # checkov:skip=CKV_AWS_338: staging retains its logs for a month, because they are not needed later
  name              = "/aws/eks/${var.context.name}/cluster"
  kms_key_id        = var.logs.kms_key_arn
  retention_in_days = var.logs.retention_days
}

# With Auto Mode: AWS runs nodes, network, volumes and load balancers. The three blocks `enabled` change only together.
resource "aws_eks_cluster" "this" {
  # checkov:skip=CKV_AWS_339: checkov's list ends before 1.36, which AWS supports
  name                      = var.context.name
  role_arn                  = aws_iam_role.cluster.arn
  version                   = var.kubernetes_version
  enabled_cluster_log_types = ["api", "audit", "authenticator", "controllerManager", "scheduler"]
  # Required by Auto Mode, which replaces these add-ons.
  bootstrap_self_managed_addons = false
  deletion_protection           = var.deletion_protection

  access_config {
    authentication_mode                         = "API"
    bootstrap_cluster_creator_admin_permissions = false
  }

  compute_config {
    enabled = true
    # For the first pods; the pools of gitops/ have precedence over it. With a built-in pool, EKS also makes the access entry of the
    # nodes' role. The role cannot be changed later.
    node_pools    = ["general-purpose"]
    node_role_arn = aws_iam_role.node.arn
  }

  kubernetes_network_config {
    # Auto Mode's DNS server is a process of the node and no pod, so network policies in gitops/ name its address, the tenth of this range.
    # It cannot be changed later.
    service_ipv4_cidr = "172.20.0.0/16"

    elastic_load_balancing {
      enabled = true
    }
  }

  storage_config {
    block_storage {
      enabled = true
    }
  }

  encryption_config {
    resources = ["secrets"]
    provider {
      key_arn = var.kms_key_arn
    }
  }

  upgrade_policy {
    # Extended support costs six times as much per hour, and starts automatically.
    support_type = "STANDARD"
  }

  # Lets an operator, and AWS, move traffic away from an impaired zone.
  zonal_shift_config {
    enabled = true
  }

  vpc_config {
    subnet_ids              = var.subnet_ids
    endpoint_private_access = true
    endpoint_public_access  = length(var.access.public_cidrs) > 0
    # The default is the whole world; without a public endpoint it must be omitted.
    public_access_cidrs = length(var.access.public_cidrs) > 0 ? var.access.public_cidrs : null
  }

  # The credentials of GitHub's apply role last longer than the longest of these.
  timeouts {
    create = "60m"
    update = "120m"
    delete = "60m"
  }

  depends_on = [
    aws_cloudwatch_log_group.control_plane,
    aws_iam_role_policy.cluster,
    aws_iam_role_policy_attachment.cluster,
    aws_iam_role_policy_attachment.node,
  ]
}

resource "aws_vpc_security_group_ingress_rule" "api" {
  # checkov:skip=CKV_AWS_23: the rule's tag describes it
  for_each = toset(var.access.private_cidrs)

  security_group_id = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = { Name = "api-server-from-inside" }
}
