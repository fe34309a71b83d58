mock_provider "aws" {
  source          = "../../testing/aws"
  override_during = plan
}

variables {
  context = {
    name                     = "shoutback-staging"
    environment              = "staging"
    runbook_base_url         = "https://docs.example.com/shoutback"
    permissions_boundary_arn = "arn:aws:iam::111122223333:policy/shoutback-staging-boundary"
  }
  cluster = { name = "shoutback-staging", arn = "arn:aws:eks:us-east-2:111122223333:cluster/shoutback-staging" }
  network = {
    vpc_id                 = "vpc-0aaaaaaaaaaaaaaaa"
    subnet_ids             = ["subnet-0aaaaaaaaaaaaaaaa", "subnet-0bbbbbbbbbbbbbbbb", "subnet-0cccccccccccccccc"]
    pods_security_group_id = "sg-0aaaaaaaaaaaaaaaa"
  }
  valkey           = { engine_version = "8.1", node_type = "cache.t4g.micro", secrets_addon_version = "v2.2.2-eksbuild.1" }
  kms_key_arn      = "arn:aws:kms:us-east-2:111122223333:key/00000000-0000-0000-0000-000000000000"
  ticket_topic_arn = "arn:aws:sns:us-east-2:111122223333:shoutback-staging-ticket"
}

run "two_nodes" {
  command = plan

  assert {
    condition     = aws_elasticache_replication_group.this.transit_encryption_enabled && aws_elasticache_replication_group.this.transit_encryption_mode == "required" && aws_elasticache_replication_group.this.kms_key_id == var.kms_key_arn
    error_message = "Connections have TLS, and what is stored is encrypted by the given key."
  }

  assert {
    condition     = aws_elasticache_replication_group.this.num_cache_clusters == 2 && aws_elasticache_replication_group.this.automatic_failover_enabled && aws_elasticache_replication_group.this.multi_az_enabled
    error_message = "The loss of a zone is survived."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.pods.referenced_security_group_id == var.network.pods_security_group_id && aws_vpc_security_group_ingress_rule.pods.cidr_ipv4 == null
    error_message = "Only the pods connect."
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.this) == 4 && alltrue([for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_actions == toset([var.ticket_topic_arn])])
    error_message = "Both nodes have alarms."
  }

  assert {
    condition     = output.pods == "shoutback/shoutback" && output.store.secret_name == "shoutback-staging-valkey"
    error_message = "The service's pods read the password."
  }
}

run "refused" {
  command = plan

  variables {
    valkey = { engine_version = "7.2", node_type = "cache.t4g.micro", secrets_addon_version = "v2.2.2-eksbuild.1" }
  }

  expect_failures = [var.valkey]
}
