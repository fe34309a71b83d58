locals {
  groups = merge(
    # The service's lines, unchanged, for the log queries.
    { service = "/shoutback/${var.name}/service" },
    # The add-on's group names, which CloudWatch's console expects.
    { for kind in ["application", "dataplane", "host", "performance"] : kind => "/aws/containerinsights/${var.cluster_name}/${kind}" },
  )

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
    {
      Sid       = "DescribeNodes"
      Effect    = "Allow"
      Action    = ["ec2:DescribeInstances", "ec2:DescribeTags", "ec2:DescribeVolumes"]
      Resource  = "*"
      Condition = { StringEquals = { "aws:RequestedRegion" = local.region } }
    },
  ]
}

# Created before the add-on, which would otherwise create them without key and retention.
resource "aws_cloudwatch_log_group" "this" {
  # checkov:skip=CKV_AWS_338: staging retains its logs for a month, because they are not needed later
  for_each = local.groups

  name              = each.value
  kms_key_id        = var.logs_kms_key_arn
  retention_in_days = var.log_retention_days
}

resource "aws_eks_addon" "cloudwatch" {
  cluster_name                = var.cluster_name
  addon_name                  = "amazon-cloudwatch-observability"
  addon_version               = var.addon_version
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

  pod_identity_association {
    role_arn        = aws_iam_role.pods["cloudwatch"].arn
    service_account = local.pods.cloudwatch.service_account
  }

  depends_on = [aws_cloudwatch_log_group.this, aws_iam_role_policy.pods]
}
