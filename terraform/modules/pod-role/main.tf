data "aws_caller_identity" "current" {}

resource "aws_iam_role" "this" {
  name                 = "${var.context.name}-${var.suffix}"
  permissions_boundary = var.context.permissions_boundary_arn
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "PodsOfThisCluster"
      Effect    = "Allow"
      Principal = { Service = "pods.eks.amazonaws.com" }
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Condition = {
        StringEquals = {
          "aws:SourceAccount"                         = data.aws_caller_identity.current.account_id
          "aws:SourceArn"                             = var.cluster.arn
          "aws:RequestTag/kubernetes-namespace"       = var.namespace
          "aws:RequestTag/kubernetes-service-account" = var.service_account
        }
      }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  name   = var.suffix
  role   = aws_iam_role.this.name
  policy = jsonencode({ Version = "2012-10-17", Statement = var.statements })
}

resource "aws_eks_pod_identity_association" "this" {
  cluster_name    = var.cluster.name
  namespace       = var.namespace
  service_account = var.service_account
  role_arn        = aws_iam_role.this.arn
}
