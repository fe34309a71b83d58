# Alarms on what carries the service, by metrics of AWS: they work when the cluster, or its Prometheus, does not.

# Alertmanager publishes the alert Watchdog, which always fires, at least every five minutes. It has no subscription: the alarm reads how many
# messages SNS has counted.
resource "aws_sns_topic" "heartbeat" {
  name              = "${var.context.name}-heartbeat"
  kms_master_key_id = "alias/aws/sns"
}

# EKS makes the load balancer when the ingress controller is installed. The next apply after that finds it.
data "aws_lbs" "this" {
  tags = { "eks:eks-cluster-name" = var.context.name }
}

locals {
  balancers = { for arn in data.aws_lbs.this.arns : regex("loadbalancer/(net/(.+)/.+)", arn)[1] => regex("loadbalancer/(net/(.+)/.+)", arn)[0] }

  # By name: severity, section of docs/platform-alarms.md, and either a metric or a query of Metrics Insights.
  platform_alarms = merge(
    {
      PrometheusHeartbeat = {
        severity = "page", text = "Prometheus, Alertmanager or their way out has been silent for 15 minutes: no other alert of the cluster can arrive"
        periods  = 3, period = 300, operator = "LessThanThreshold", threshold = 1, missing = "breaching"
        query    = null
        metric   = { namespace = "AWS/SNS", name = "NumberOfMessagesPublished", stat = "Sum", dimensions = { TopicName = aws_sns_topic.heartbeat.name } }
      }
    },
    { for name, alarm in {
      # By the control plane, so also without any node: Auto Mode starts none for lack of quota, capacity or a matching pool.
      PodsWithoutNode = { text = "Pods have been waiting for a node for 15 minutes", metric = { namespace = "AWS/EKS", name = "scheduler_pending_pods_UNSCHEDULABLE" } }
      NodesFailed     = { text = "A node has had a failure condition for 15 minutes", metric = { namespace = "ContainerInsights", name = "cluster_failed_node_count" } }
      } : name => {
      severity = "ticket", text = alarm.text
      periods  = 15, period = 60, operator = "GreaterThanThreshold", threshold = 0, missing = "notBreaching"
      query    = null
      metric   = merge(alarm.metric, { stat = "Minimum", dimensions = { ClusterName = var.context.name } })
    } },
    { for az, gateway in var.nat_gateways : "NatGatewayPorts-${az}" => {
      severity = "ticket", text = "The NAT gateway of ${az} has no free port for new connections to the same destination"
      periods  = 5, period = 60, operator = "GreaterThanThreshold", threshold = 0, missing = "notBreaching"
      query    = null
      metric   = { namespace = "AWS/NATGateway", name = "ErrorPortAllocation", stat = "Sum", dimensions = { NatGatewayId = gateway.id } }
    } },
    { for name, dimension in local.balancers : "LoadBalancerWithoutTargets-${name}" => {
      severity = "page", text = "A target group of ${name} has no healthy target: connections to its port fail"
      periods  = 3, period = 60, operator = "LessThanThreshold", threshold = 1, missing = "breaching"
      query    = "SELECT MIN(HealthyHostCount) FROM SCHEMA(\"AWS/NetworkELB\", LoadBalancer, TargetGroup) WHERE LoadBalancer = '${dimension}'"
      metric   = null
    } },
    { for name, dimension in local.balancers : "LoadBalancerUnhealthyTargets-${name}" => {
      severity = "ticket", text = "A target of ${name} has been unhealthy for 15 minutes"
      periods  = 15, period = 60, operator = "GreaterThanThreshold", threshold = 0, missing = "notBreaching"
      query    = "SELECT MAX(UnHealthyHostCount) FROM SCHEMA(\"AWS/NetworkELB\", LoadBalancer, TargetGroup) WHERE LoadBalancer = '${dimension}'"
      metric   = null
    } },
  )
}

resource "aws_cloudwatch_metric_alarm" "platform" {
  for_each = local.platform_alarms

  alarm_name          = "${var.context.environment}-${each.key}-${each.value.severity}"
  alarm_description   = "${each.value.text}. ${var.context.runbook_base_url}/platform-alarms.md#${lower(split("-", each.key)[0])}"
  comparison_operator = each.value.operator
  threshold           = each.value.threshold
  evaluation_periods  = each.value.periods
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.this[each.value.severity].arn]
  ok_actions          = [aws_sns_topic.this[each.value.severity].arn]

  metric_query {
    id          = "value"
    return_data = true
    expression  = each.value.query
    period      = each.value.query == null ? null : each.value.period

    dynamic "metric" {
      for_each = each.value.metric[*]
      content {
        namespace   = metric.value.namespace
        metric_name = metric.value.name
        stat        = metric.value.stat
        period      = each.value.period
        dimensions  = metric.value.dimensions
      }
    }
  }

  # An alarm without permission to publish would fail only when it fires.
  depends_on = [aws_sns_topic_policy.this]
}
