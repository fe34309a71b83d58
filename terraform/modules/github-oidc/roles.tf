# The roles that belong to no environment, by the rest of their name.
locals {
  roles = {
    # For jobs that verify or scan images. Permission to list an image's signatures is that of BatchGetImage.
    pull = {
      policy = "pull-images"
      statements = [
        local.log_in,
        {
          Sid      = "Pull"
          Effect   = "Allow"
          Action   = formatlist("ecr:%s", ["BatchCheckLayerAvailability", "BatchGetImage", "DescribeImages", "GetDownloadUrlForLayer"])
          Resource = [var.repository_arn]
        },
      ]
    }
    push = {
      policy = "push-images"
      statements = [
        local.log_in,
        {
          # No permission to remove an image or to move a tag.
          Sid    = "PushAndTag"
          Effect = "Allow"
          Action = formatlist("ecr:%s", [
            "BatchCheckLayerAvailability", "BatchGetImage", "CompleteLayerUpload", "DescribeImages", "GetDownloadUrlForLayer", "InitiateLayerUpload",
            "PutImage", "UploadLayerPart",
          ])
          Resource = [var.repository_arn]
        },
      ]
    }
    # For plans of the bootstrap on main, and its drift: reads configuration, and no data. A person applies.
    bootstrap-plan = {
      policy = "read-bootstrap"
      statements = [
        { Sid = "State", Effect = "Allow", Action = ["s3:GetObject"], Resource = ["${var.state.bucket_arn}/bootstrap/terraform.tfstate"] },
        { Sid = "ListState", Effect = "Allow", Action = ["s3:ListBucket"], Resource = [var.state.bucket_arn] },
        { Sid = "StateKey", Effect = "Allow", Action = ["kms:Decrypt"], Resource = [var.state.kms_key_arn] },
        {
          Sid    = "ReadBuckets"
          Effect = "Allow"
          Action = formatlist("s3:Get%s", [
            "AccelerateConfiguration", "BucketAcl", "BucketCORS", "BucketLogging", "BucketObjectLockConfiguration", "BucketOwnershipControls", "BucketPolicy",
            "BucketPublicAccessBlock", "BucketRequestPayment", "BucketTagging", "BucketVersioning", "BucketWebsite", "EncryptionConfiguration",
            "LifecycleConfiguration", "ReplicationConfiguration",
          ])
          Resource = ["arn:${data.aws_partition.current.partition}:s3:::shoutback-*"]
        },
        {
          Sid    = "ReadConfiguration"
          Effect = "Allow"
          Action = flatten([for service, actions in {
            budgets        = ["ListTagsForResource", "ViewBudget"]
            ce             = ["GetAnomalyMonitors", "GetAnomalySubscriptions", "ListTagsForResource"]
            cloudformation = ["DescribeStacks", "GetTemplate"]
            cloudtrail     = ["DescribeTrails", "GetEventSelectors", "GetInsightSelectors", "GetTrail*", "ListTags"]
            cloudwatch     = ["DescribeAlarms", "ListTagsForResource"]
            ec2            = ["GetEbsEncryptionByDefault", "GetInstanceMetadataDefaults"]
            ecr            = ["DescribePullThroughCacheRules", "DescribeRepositories", "DescribeRepositoryCreationTemplates", "GetLifecyclePolicy", "GetRepositoryPolicy", "ListTagsForResource"]
            events         = ["DescribeRule", "ListTagsForResource", "ListTargetsByRule"]
            guardduty      = ["GetDetector", "ListDetectors", "ListTagsForResource"]
            iam            = ["GetOpenIDConnectProvider", "GetPolicy*", "GetRole*", "ListAttachedRolePolicies", "ListInstanceProfilesForRole", "ListPolicyVersions", "ListRolePolicies"]
            kms            = ["DescribeKey", "GetKeyPolicy", "GetKeyRotationStatus", "ListAliases", "ListResourceTags"]
            logs           = ["DescribeLogGroups", "DescribeMetricFilters", "DescribeResourcePolicies", "ListTagsForResource"]
            route53        = ["GetHostedZone", "ListResourceRecordSets", "ListTagsForResource"]
            s3             = ["GetAccountPublicAccessBlock"]
            sns            = ["GetSubscriptionAttributes", "GetTopicAttributes", "ListTagsForResource"]
          } : formatlist("${service}:%s", actions)])
          Resource = "*"
        },
      ]
    }
  }
  log_in = { Sid = "LogIn", Effect = "Allow", Action = ["ecr:GetAuthorizationToken"], Resource = "*" }
}

resource "aws_iam_role" "this" {
  for_each = local.roles

  name                 = "shoutback-${each.key}"
  assume_role_policy   = local.trust[each.key]
  max_session_duration = 3600
}

resource "aws_iam_role_policy" "this" {
  for_each = local.roles

  name   = each.value.policy
  role   = aws_iam_role.this[each.key].name
  policy = jsonencode({ Version = "2012-10-17", Statement = each.value.statements })
}
