# For plans of the bootstrap on the branch, and its drift: reads configuration, and no data. A person applies.
resource "aws_iam_role" "plan_bootstrap" {
  name                 = "shoutback-bootstrap-plan"
  assume_role_policy   = local.trust["plan-bootstrap"]
  max_session_duration = 3600
}

resource "aws_iam_role_policy" "plan_bootstrap" {
  name = "read-bootstrap"
  role = aws_iam_role.plan_bootstrap.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Sid = "State", Effect = "Allow", Action = ["s3:GetObject"], Resource = ["${var.state_bucket_arn}/bootstrap/terraform.tfstate"] },
      { Sid = "ListState", Effect = "Allow", Action = ["s3:ListBucket"], Resource = [var.state_bucket_arn] },
      { Sid = "StateKey", Effect = "Allow", Action = ["kms:Decrypt"], Resource = [var.state_kms_key_arn] },
      {
        Sid    = "ReadBuckets"
        Effect = "Allow"
        Action = formatlist("s3:Get%s", [
          "AccelerateConfiguration", "BucketAcl", "BucketCORS", "BucketLogging", "BucketObjectLockConfiguration", "BucketOwnershipControls", "BucketPolicy",
          "BucketPublicAccessBlock", "BucketRequestPayment", "BucketTagging", "BucketVersioning", "BucketWebsite", "EncryptionConfiguration",
          "LifecycleConfiguration", "ReplicationConfiguration",
        ])
        Resource = ["arn:${local.partition}:s3:::shoutback-*"]
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
  })
}
