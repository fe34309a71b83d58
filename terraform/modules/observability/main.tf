data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.region

  alarms_arn = "arn:${local.partition}:cloudwatch:${local.region}:${local.account}:alarm"

  # The pods with a role, by the last part of the role's name.
  pods = {
    cloudwatch = { namespace = "amazon-cloudwatch", service_account = "cloudwatch-agent" }
    collector  = { namespace = "monitoring", service_account = "otel-collector" }
  }
}

resource "aws_iam_role" "pods" {
  for_each = local.pods

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
  for_each = {
    cloudwatch = local.agent_statements
    collector  = local.collector_statements
  }

  name = "send-telemetry"
  role = aws_iam_role.pods[each.key].name
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = each.value
  })
}

locals {
  # Neither service supports resources for these actions, so only the region is limited.
  collector_statements = [
    {
      Sid       = "SendSpans"
      Effect    = "Allow"
      Action    = ["xray:PutSpans", "xray:PutSpansForIndexing", "xray:PutTraceSegments"]
      Resource  = "*"
      Condition = { StringEquals = { "aws:RequestedRegion" = local.region } }
    },
    {
      Sid       = "SendMetrics"
      Effect    = "Allow"
      Action    = ["cloudwatch:PutMetricData"]
      Resource  = "*"
      Condition = { StringEquals = { "aws:RequestedRegion" = local.region } }
    },
  ]
}
