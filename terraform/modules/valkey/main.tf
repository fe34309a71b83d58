resource "aws_elasticache_subnet_group" "this" {
  name       = "${var.context.name}-valkey"
  subnet_ids = var.network.subnet_ids
}

resource "aws_security_group" "this" {
  # checkov:skip=CKV_AWS_23: the rule's tag describes it
  name   = "${var.context.name}-valkey"
  vpc_id = var.network.vpc_id
  tags   = { Name = "${var.context.name}-valkey" }
}

resource "aws_vpc_security_group_ingress_rule" "pods" {
  # checkov:skip=CKV_AWS_23: the rule's tag describes it
  security_group_id            = aws_security_group.this.id
  referenced_security_group_id = var.network.pods_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
  tags                         = { Name = "valkey-from-pods" }
}

# Limits and cached responses: nothing that a snapshot would have to keep. Name and engine cannot be changed later.
resource "aws_elasticache_replication_group" "this" {
  replication_group_id       = "${var.context.name}-valkey"
  description                = "Shared limits and cache of ${var.context.name}"
  engine                     = "valkey"
  engine_version             = var.valkey.engine_version
  node_type                  = var.valkey.node_type
  num_cache_clusters         = 2
  automatic_failover_enabled = true
  multi_az_enabled           = true
  subnet_group_name          = aws_elasticache_subnet_group.this.name
  security_group_ids         = [aws_security_group.this.id]
  at_rest_encryption_enabled = true
  kms_key_id                 = var.kms_key_arn
  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  user_group_ids             = [aws_cloudformation_stack.user.outputs["UserGroupId"]]
  # Security updates within a minor version, in the maintenance window.
  auto_minor_version_upgrade = true
  maintenance_window         = "tue:04:00-tue:05:00"
}

# A stack, because CloudFormation makes the password and hands it to ElastiCache and to Secrets Manager: neither a person nor the state
# has it.
resource "aws_cloudformation_stack" "user" {
  # checkov:skip=CKV_AWS_124: Terraform reports the result; there are no other consumers of the stack's events
  name = "${var.context.name}-valkey-user"
  template_body = jsonencode({
    AWSTemplateFormatVersion = "2010-09-09"
    Description              = "User of ${var.context.name}-valkey"
    Resources = {
      Password = {
        Type = "AWS::SecretsManager::Secret"
        Properties = {
          Name                 = "${var.context.name}-valkey"
          Description          = "User of Valkey: username and password"
          GenerateSecretString = { SecretStringTemplate = "{\"username\":\"shoutback\"}", GenerateStringKey = "password", PasswordLength = 64, ExcludePunctuation = true }
        }
      }
      User = {
        Type = "AWS::ElastiCache::User"
        Properties = {
          Engine       = "valkey"
          UserId       = "${var.context.name}-shoutback"
          UserName     = "shoutback"
          AccessString = "on ~shoutback:* +@all -@admin -@dangerous"
          AuthenticationMode = {
            Type      = "password"
            Passwords = [{ "Fn::Sub" = "{{resolve:secretsmanager:$${Password}:SecretString:password}}" }]
          }
        }
      }
      UserGroup = {
        Type       = "AWS::ElastiCache::UserGroup"
        Properties = { Engine = "valkey", UserGroupId = "${var.context.name}-valkey", UserIds = [{ Ref = "User" }] }
      }
    }
    Outputs = {
      SecretArn   = { Value = { Ref = "Password" } }
      UserGroupId = { Value = { Ref = "UserGroup" } }
    }
  })
}

# The driver mounts the secret into the service's pods, with the role of those pods.
resource "aws_eks_addon" "secrets" {
  cluster_name                = var.cluster.name
  addon_name                  = "aws-secrets-store-csi-driver-provider"
  addon_version               = var.valkey.secrets_addon_version
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"
}

module "pod_role" {
  source = "../pod-role"

  context         = var.context
  suffix          = "service"
  cluster         = var.cluster
  namespace       = "shoutback"
  service_account = "shoutback"
  statements = [{
    Sid      = "ReadPassword"
    Effect   = "Allow"
    Action   = ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"]
    Resource = [aws_cloudformation_stack.user.outputs["SecretArn"]]
  }]
}

# Of each node: what makes the store slow or forgetful before it fails.
resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = merge([
    for node in ["001", "002"] : {
      for metric, text in {
        EngineCPUUtilization          = "The engine's only thread is busy"
        DatabaseMemoryUsagePercentage = "Memory is nearly used up, and entries are evicted next"
      } : "${metric}-${node}" => { metric = metric, text = text, node = "${var.context.name}-valkey-${node}" }
    }
  ]...)

  alarm_name          = "${var.context.environment}-Valkey-${each.key}-ticket"
  alarm_description   = "${each.value.text}: ${each.value.metric} of ${each.value.node}. ${var.context.runbook_base_url}/platform-alarms.md#valkey"
  namespace           = "AWS/ElastiCache"
  metric_name         = each.value.metric
  dimensions          = { CacheClusterId = each.value.node }
  statistic           = "Average"
  period              = 300
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 80
  treat_missing_data  = "breaching"
  alarm_actions       = [var.ticket_topic_arn]
  ok_actions          = [var.ticket_topic_arn]
}
