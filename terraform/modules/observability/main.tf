data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  region     = data.aws_region.current.region
  account    = data.aws_caller_identity.current.account_id
  here       = { StringEquals = { "aws:RequestedRegion" = local.region } }
  alarms_arn = "arn:${data.aws_partition.current.partition}:cloudwatch:${local.region}:${local.account}:alarm"

  # The pods that send telemetry, by the last part of their role's name. As JSON, because statements have different types.
  pods = {
    cloudwatch = {
      namespace       = "amazon-cloudwatch"
      service_account = "cloudwatch-agent"
      statements      = jsonencode(local.agent_statements)
    }
    # X-Ray and CloudWatch support no resources for these actions, so only the region is limited.
    collector = {
      namespace       = "monitoring"
      service_account = "otel-collector"
      statements = jsonencode([
        { Sid = "SendSpans", Effect = "Allow", Action = ["xray:PutSpans", "xray:PutSpansForIndexing", "xray:PutTraceSegments"], Resource = "*", Condition = local.here },
        { Sid = "SendMetrics", Effect = "Allow", Action = ["cloudwatch:PutMetricData"], Resource = "*", Condition = local.here },
      ])
    }
    # Sends Prometheus' Watchdog to the topic of the heartbeat.
    alertmanager = {
      namespace       = "monitoring"
      service_account = "kube-prometheus-stack-alertmanager"
      statements      = jsonencode([{ Sid = "SendHeartbeat", Effect = "Allow", Action = ["sns:Publish"], Resource = [aws_sns_topic.heartbeat.arn] }])
    }
  }
}

module "pod_role" {
  source   = "../pod-role"
  for_each = local.pods

  context         = var.context
  suffix          = each.key
  cluster         = var.cluster
  namespace       = each.value.namespace
  service_account = each.value.service_account
  statements      = jsondecode(each.value.statements)
}
