locals {
  agent_statements = [
    {
      # The groups exist: no permission to create one or to change its retention.
      Sid      = "WriteLogs"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
      Resource = flatten([for group in aws_cloudwatch_log_group.this : [group.arn, "${group.arn}:*"]])
    },
    {
      Sid       = "SendMetrics"
      Effect    = "Allow"
      Action    = ["cloudwatch:PutMetricData"]
      Resource  = "*"
      Condition = { StringEquals = { "cloudwatch:namespace" = ["CWAgent", "ContainerInsights"] } }
    },
    { Sid = "DescribeNodes", Effect = "Allow", Action = ["ec2:DescribeInstances", "ec2:DescribeTags", "ec2:DescribeVolumes"], Resource = "*", Condition = local.here },
  ]
}

# Created before the add-on, which would otherwise create them without key and retention.
resource "aws_cloudwatch_log_group" "this" {
  # checkov:skip=CKV_AWS_338: staging retains its logs for a month, because they are not needed later
  for_each = merge(
    # The service's lines, unchanged, for the log queries.
    { service = "/shoutback/${var.context.name}/service" },
    # The add-on's group names, which CloudWatch's console expects.
    { for kind in ["application", "dataplane", "host", "performance"] : kind => "/aws/containerinsights/${var.cluster.name}/${kind}" },
  )

  name              = each.value
  kms_key_id        = var.logs.kms_key_arn
  retention_in_days = var.logs.retention_days
}

resource "aws_eks_addon" "cloudwatch" {
  cluster_name                = var.cluster.name
  addon_name                  = "amazon-cloudwatch-observability"
  addon_version               = var.cloudwatch_addon_version
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"

  configuration_values = jsonencode({
    # The collector exports traces. This would inject agents into pods.
    applicationSignals = { enabled = false }
    manager            = { applicationSignals = { autoMonitor = { monitorAllServices = false } } }
    containerLogs = {
      fluentBit = {
        config = {
          # In addition to the add-on's own files, and after them.
          extraFiles = {
            "shoutback.conf" = templatefile("${path.module}/fluent-bit.conf.tftpl", { log_group = aws_cloudwatch_log_group.this["service"].name })
          }
        }
      }
    }
  })

  # Its agents get their credentials when they start.
  depends_on = [aws_cloudwatch_log_group.this, module.pod_role]
}
