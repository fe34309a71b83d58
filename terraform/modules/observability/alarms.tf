# Resources of observability/cloudwatch, which defines alarms and dashboard.
locals {
  source = "${path.module}/../../../observability/cloudwatch"

  variables = {
    environment      = var.context.environment
    name_prefix      = "${var.context.environment}-"
    region           = local.region
    log_group        = aws_cloudwatch_log_group.this["service"].name
    page_topic_arn   = aws_sns_topic.this["page"].arn
    ticket_topic_arn = aws_sns_topic.this["ticket"].arn
    runbook_base_url = var.context.runbook_base_url
  }

  files     = [for name in fileset(local.source, "alarms/*.yaml") : yamldecode(templatefile("${local.source}/${name}", local.variables))]
  metric    = flatten([for file in local.files : try(file.metric_alarms, [])])
  composite = flatten([for file in local.files : try(file.composite_alarms, [])])
  alarms    = concat([for alarm in concat(local.composite, local.metric) : alarm.AlarmName], [for alarm in aws_cloudwatch_metric_alarm.platform : alarm.alarm_name])

  queries = {
    for name in fileset(local.source, "insights/*.query") : trimsuffix(basename(name), ".query") => file("${local.source}/${name}")
  }
}

# A stack, because the provider's resource does not support PromQL in this version.
resource "aws_cloudformation_stack" "alarms" {
  # checkov:skip=CKV_AWS_124: Terraform reports the result; there are no other consumers of the stack's events
  name = "${var.context.name}-alarms"
  template_body = templatefile("${local.source}/stack.json.tftpl", merge(local.variables, {
    metric_alarms    = local.metric
    composite_alarms = local.composite
  }))

  # An alarm without permission to publish would fail only when it fires.
  depends_on = [aws_sns_topic_policy.this]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.context.name
  dashboard_body = templatefile("${local.source}/dashboard.json.tftpl", merge(local.variables, {
    dashboard  = yamldecode(templatefile("${local.source}/dashboard.yaml", local.variables))
    insights   = local.queries
    alarm_arns = [for alarm in local.alarms : "${local.alarms_arn}:${alarm}"]
  }))
}

resource "aws_cloudwatch_query_definition" "this" {
  for_each = local.queries

  name            = "${var.context.name}/${each.key}"
  query_string    = each.value
  log_group_names = [aws_cloudwatch_log_group.this["service"].name]
}

resource "aws_sns_topic" "this" {
  for_each = toset(["page", "ticket"])

  name              = "${var.context.name}-${each.key}"
  kms_master_key_id = var.sns_kms_key_arn
  signature_version = 2
}

resource "aws_sns_topic_policy" "this" {
  for_each = aws_sns_topic.this

  arn = each.value.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AlarmsOfThisEnvironment"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = ["sns:Publish"]
        Resource  = [each.value.arn]
        Condition = {
          StringEquals = { "aws:SourceAccount" = local.account }
          ArnLike      = { "aws:SourceArn" = "${local.alarms_arn}:${var.context.environment}-*" }
        }
      },
      { Sid = "TlsOnly", Effect = "Deny", Principal = "*", Action = ["sns:Publish"], Resource = [each.value.arn], Condition = { Bool = { "aws:SecureTransport" = "false" } } },
    ]
  })
}

# The names, TOPIC/NAME, are not secret; an endpoint often contains a key.
resource "aws_sns_topic_subscription" "this" {
  for_each = nonsensitive(toset(flatten([for topic, subscriptions in var.subscriptions : [for name in keys(subscriptions) : "${topic}/${name}"]])))

  topic_arn = aws_sns_topic.this[split("/", each.key)[0]].arn
  protocol  = var.subscriptions[split("/", each.key)[0]][split("/", each.key)[1]].protocol
  endpoint  = var.subscriptions[split("/", each.key)[0]][split("/", each.key)[1]].endpoint
}
