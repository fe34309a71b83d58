data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.region

  # The pods with a role that is created here, by the last part of the role's name, and its permissions.
  own = merge(
    {
      load-balancers = {
        namespace       = "kube-system"
        service_account = "aws-load-balancer-controller"
        statements      = local.load_balancer_statements
      }
    },
    var.record != "external-dns" ? {} : {
      records = {
        namespace       = "external-dns"
        service_account = "external-dns"
        statements      = local.record_statements
      }
    },
    var.certificate != "cert-manager" ? {} : {
      certificates = {
        namespace       = "cert-manager"
        service_account = "cert-manager"
        statements      = local.challenge_statements
      }
    },
  )

  pods = merge(
    var.pod_roles,
    { for name, pods in local.own : name => {
      namespace       = pods.namespace
      service_account = pods.service_account
      role_arn        = aws_iam_role.pods[name].arn
    } },
  )
}

resource "aws_eks_pod_identity_association" "this" {
  for_each = local.pods

  cluster_name    = var.cluster_name
  namespace       = each.value.namespace
  service_account = each.value.service_account
  role_arn        = each.value.role_arn
}

resource "aws_iam_role" "pods" {
  for_each = local.own

  name                 = "${var.name}-${each.key}"
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
          "aws:SourceArn"                             = var.cluster_arn
          "aws:RequestTag/kubernetes-namespace"       = each.value.namespace
          "aws:RequestTag/kubernetes-service-account" = each.value.service_account
        }
      }
    }]
  })
}

resource "aws_iam_role_policy" "pods" {
  for_each = local.own

  name = each.key
  role = aws_iam_role.pods[each.key].name
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = each.value.statements
  })
}
