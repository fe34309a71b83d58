# A trail of the whole account, in every region, with the reads and writes of Terraform's state, and alarms on what should be rare.
locals {
  trails = toset(var.guard_rails.trail ? ["shoutback"] : [])

  # By name: what has happened, and the filter of the trail's events. Jobs of GitHub and people assume roles by web identity, SAML or
  # a role of theirs; only requests that succeeded.
  events = merge(
    {
      state-read-by-person = {
        # Users and the account's root have no session of a role, and a comparison is false without the field.
        text   = "A person has read Terraform's state, which is otherwise read by GitHub's roles"
        filter = "{ ($.eventName = \"GetObject\") && ($.resources[0].ARN = \"${var.state_bucket_arn}/*\") && (($.userIdentity.sessionContext.sessionIssuer.userName != \"shoutback-*\") || ($.userIdentity.sessionContext.sessionIssuer.userName NOT EXISTS)) }"
      }
      apply-role-assumed = {
        text   = "A role that applies Terraform was assumed: a merge explains it"
        filter = "{ ($.eventName = \"AssumeRole*\") && ($.requestParameters.roleArn = \"*:role/shoutback-*-apply\") && ($.errorCode NOT EXISTS) }"
      }
    },
    { for arn in var.guard_rails.break_glass_role_arn[*] : "break-glass-assumed" => {
      text   = "The break-glass role was assumed: an incident explains it"
      filter = "{ ($.eventName = \"AssumeRole*\") && ($.requestParameters.roleArn = \"${arn}\") && ($.errorCode NOT EXISTS) }"
    } },
  )
}

resource "aws_cloudtrail" "this" {
  # checkov:skip=CKV_AWS_252: alarms on the log group notify; a message per delivered file would be noise
  for_each = local.trails

  name                          = each.key
  s3_bucket_name                = module.bucket[each.key].name
  kms_key_id                    = var.kms_key_arn
  is_multi_region_trail         = true
  include_global_service_events = true
  enable_log_file_validation    = true
  cloud_watch_logs_group_arn    = "${aws_cloudwatch_log_group.trail[each.key].arn}:*"
  cloud_watch_logs_role_arn     = aws_iam_role.trail[each.key].arn

  advanced_event_selector {
    name = "management"
    field_selector {
      field  = "eventCategory"
      equals = ["Management"]
    }
  }

  advanced_event_selector {
    name = "objects of the state"
    field_selector {
      field  = "eventCategory"
      equals = ["Data"]
    }
    field_selector {
      field  = "resources.type"
      equals = ["AWS::S3::Object"]
    }
    field_selector {
      field       = "resources.ARN"
      starts_with = ["${var.state_bucket_arn}/"]
    }
  }

  # Reads only: CloudTrail's own writes would be events that it writes again.
  advanced_event_selector {
    name = "reads of the trail"
    field_selector {
      field  = "eventCategory"
      equals = ["Data"]
    }
    field_selector {
      field  = "resources.type"
      equals = ["AWS::S3::Object"]
    }
    field_selector {
      field  = "readOnly"
      equals = ["true"]
    }
    field_selector {
      field       = "resources.ARN"
      starts_with = ["${module.bucket[each.key].arn}/"]
    }
  }

  # CloudTrail checks that it may write.
  depends_on = [aws_iam_role_policy.trail]
}

resource "aws_cloudwatch_log_metric_filter" "this" {
  for_each = var.guard_rails.trail ? local.events : {}

  name           = each.key
  log_group_name = aws_cloudwatch_log_group.trail["shoutback"].name
  pattern        = each.value.filter

  metric_transformation {
    namespace = "Shoutback/Account"
    name      = each.key
    value     = "1"
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = aws_cloudwatch_log_metric_filter.this

  alarm_name          = "account-${each.key}"
  alarm_description   = local.events[each.key].text
  namespace           = "Shoutback/Account"
  metric_name         = each.key
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.this.arn]
}

resource "aws_cloudwatch_log_group" "trail" {
  for_each = local.trails

  name              = "/shoutback/account/trail"
  kms_key_id        = var.kms_key_arn
  retention_in_days = 365
}

resource "aws_iam_role" "trail" {
  for_each = local.trails

  name = "shoutback-account-trail"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "ThisTrail"
      Effect    = "Allow"
      Principal = { Service = "cloudtrail.amazonaws.com" }
      Action    = ["sts:AssumeRole"]
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

resource "aws_iam_role_policy" "trail" {
  for_each = local.trails

  name = "write"
  role = aws_iam_role.trail[each.key].name
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Sid = "WriteStreams", Effect = "Allow", Action = ["logs:CreateLogStream", "logs:PutLogEvents"], Resource = ["${aws_cloudwatch_log_group.trail[each.key].arn}:*"] }]
  })
}

module "bucket" {
  source   = "../bucket"
  for_each = local.trails

  name            = "shoutback-trail-${var.account_id}"
  kms_key_arn     = var.kms_key_arn
  expiration_days = 731
  statements = [{
    Sid       = "TrailWrites"
    Effect    = "Allow"
    Principal = { Service = "cloudtrail.${local.suffix}" }
    Action    = ["s3:GetBucketAcl", "s3:PutObject"]
    Resource  = [for path in ["", "/AWSLogs/${var.account_id}/*"] : "${local.arn}:s3:::shoutback-trail-${var.account_id}${path}"]
    Condition = { StringEquals = { "aws:SourceArn" = "${local.arn}:cloudtrail:${data.aws_region.current.region}:${var.account_id}:trail/shoutback" } }
  }]
}
