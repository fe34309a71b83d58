# Permissions to refresh the state, for plans and for applies. Of actions whose response may hold a secret only those remain that can be
# limited to the environment: not cognito-idp:DescribeUserPoolClient (a client's secret), ec2:DescribeInstanceAttribute and
# ec2:DescribeLaunchTemplateVersions (user data), secretsmanager:GetSecretValue.
resource "aws_iam_policy" "read" {
  name = "${local.name}-read"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # Lists and descriptions of networks and the like, which support no resources.
        Sid    = "ReadNetworks"
        Effect = "Allow"
        Action = concat(
          formatlist("ec2:Describe%s", [
            "Addresses", "AddressesAttribute", "AvailabilityZones", "FlowLogs", "InternetGateways", "NatGateways", "NetworkAcls", "NetworkInterfaces",
            "PrefixLists", "RouteTables", "SecurityGroupRules", "SecurityGroups", "Subnets", "VpcAttribute", "VpcEndpoints", "Vpcs",
          ]),
          ["cloudwatch:DescribeAlarms", "elasticloadbalancing:DescribeLoadBalancers", "elasticloadbalancing:DescribeTags"],
          ["kms:ListAliases", "logs:DescribeLogGroups", "logs:DescribeQueryDefinitions", "sns:GetSubscriptionAttributes"],
        )
        Resource  = "*"
        Condition = local.in_region
      },
      {
        Sid    = "ReadNamed"
        Effect = "Allow"
        Action = [
          "cloudformation:DescribeStacks",
          "cloudformation:GetTemplate",
          "cloudwatch:ListTagsForResource",
          "eks:Describe*",
          "eks:List*",
          "elasticache:Describe*",
          "elasticache:ListTagsForResource",
          "logs:ListTagsForResource",
          "sns:GetTopicAttributes",
          "sns:ListSubscriptionsByTopic",
          "sns:ListTagsForResource",
        ]
        Resource = concat(
          ["${local.arns.cloudformation}:stack/${local.name}-*/*", "${local.arns.cloudwatch}:alarm:${var.environment}-*", "${local.arns.sns}:${local.name}-*"],
          [for kind in ["access-entry", "addon", "cluster", "podidentityassociation"] : "${local.arns.eks}:${kind}/${local.name}${kind == "cluster" ? "" : "/*"}"],
          [for kind in ["replicationgroup", "subnetgroup"] : "${local.arns.elasticache}:${kind}:${local.name}-*"],
          ["${local.arns.elasticache}:cluster:${local.name}-*"],
          local.log_groups,
        )
      },
      {
        Sid       = "ReadTagged"
        Effect    = "Allow"
        Action    = ["cognito-idp:DescribeManagedLoginBranding*", "cognito-idp:DescribeResourceServer", "cognito-idp:DescribeUserPool", "cognito-idp:GetGroup", "cognito-idp:GetUserPoolMfaConfig", "cognito-idp:ListTagsForResource", "kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListResourceTags"]
        Resource  = ["${local.arns.cognito-idp}:userpool/*", "${local.arns.kms}:key/*"]
        Condition = local.is_tagged
      },
      {
        # IAM, dashboards and Route 53 have no region. A domain of Cognito is found by its name, which is public.
        Sid      = "ReadGlobal"
        Effect   = "Allow"
        Action   = ["cognito-idp:DescribeUserPoolDomain", "route53:GetChange", "route53:GetHostedZone", "route53:ListHostedZones*", "route53:ListTagsForResource*"]
        Resource = "*"
      },
      {
        Sid      = "ReadOwnRoles"
        Effect   = "Allow"
        Action   = ["cloudwatch:GetDashboard", "iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListInstanceProfilesForRole", "iam:ListRolePolicies", "iam:ListRoleTags"]
        Resource = [local.roles, "arn:${local.partition}:cloudwatch::${local.account}:dashboard/${local.name}"]
      },
    ]
  })
}

resource "aws_iam_role_policy_attachment" "read" {
  for_each = aws_iam_role.this

  role       = each.value.name
  policy_arn = aws_iam_policy.read.arn
}

resource "aws_iam_role_policy" "state" {
  # The actions on the state. Plans take no lock, because that is a write.
  for_each = { plan = ["s3:GetObject"], apply = ["s3:GetObject", "s3:PutObject"] }

  name = "state"
  role = aws_iam_role.this[each.key].name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        { Sid = "State", Effect = "Allow", Action = each.value, Resource = [local.state] },
        { Sid = "ListState", Effect = "Allow", Action = ["s3:ListBucket"], Resource = [var.state.bucket_arn] },
        {
          # Only for objects of the bucket: the bucket's ARN is in the encryption context, because it has a bucket key.
          Sid       = "StateKey"
          Effect    = "Allow"
          Action    = each.key == "plan" ? ["kms:Decrypt"] : ["kms:Decrypt", "kms:GenerateDataKey"]
          Resource  = [var.state.kms_key_arn]
          Condition = { StringEquals = { "kms:ViaService" = "s3.${local.region}.${local.suffix}", "kms:EncryptionContext:aws:s3:arn" = var.state.bucket_arn } }
        },
      ],
      each.key == "plan" ? [] : [{ Sid = "StateLock", Effect = "Allow", Action = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"], Resource = ["${local.state}.tflock"] }],
    )
  })
}
