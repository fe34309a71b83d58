# The permissions of the environment's Terraform. Resources with names are limited to the environment's names, the creation of others to
# this region, and their deletion to resources with the environment's tag. Roles can only be created with the environment's boundary.
locals {
  log_groups = [for folder in ["/aws/containerinsights", "/aws/eks", "/aws/vpc", "/shoutback"] : "${local.arns.logs}:log-group:${folder}/${local.name}/*"]

  network_statements = [
    {
      Sid    = "CreateNetworks"
      Effect = "Allow"
      Action = concat(
        formatlist("ec2:%s", [
          "AllocateAddress", "AssociateRouteTable", "AttachInternetGateway", "AuthorizeSecurityGroupEgress", "AuthorizeSecurityGroupIngress", "CreateFlowLogs",
          "CreateInternetGateway", "CreateNatGateway", "CreateRoute", "CreateRouteTable", "CreateSecurityGroup", "CreateSubnet", "CreateTags", "CreateVpc",
          "CreateVpcEndpoint", "ModifySecurityGroupRules", "ModifySubnetAttribute", "ModifyVpcAttribute", "ModifyVpcEndpoint", "ReplaceRoute",
          "ReplaceRouteTableAssociation", "RevokeSecurityGroupEgress", "RevokeSecurityGroupIngress",
        ]),
        ["logs:CreateLogDelivery", "logs:DeleteLogDelivery"],
      )
      Resource  = "*"
      Condition = merge(local.in_region, local.is_not_others)
    },
    {
      # An endpoint's private names are in a zone of Amazon. Route 53 has no region.
      Sid      = "NamesOfEndpoints"
      Effect   = "Allow"
      Action   = ["route53:AssociateVPCWithHostedZone"]
      Resource = "*"
    },
    {
      Sid    = "DeleteOwnNetworks"
      Effect = "Allow"
      Action = formatlist("ec2:%s", [
        "DeleteFlowLogs", "DeleteInternetGateway", "DeleteNatGateway", "DeleteRoute", "DeleteRouteTable", "DeleteSecurityGroup", "DeleteSubnet", "DeleteTags",
        "DeleteVpc", "DeleteVpcEndpoints", "DetachInternetGateway", "DisassociateAddress", "DisassociateRouteTable", "ReleaseAddress",
      ])
      Resource  = "*"
      Condition = local.is_tagged
    },
  ]

  cluster_statements = [
    {
      Sid    = "Cluster"
      Effect = "Allow"
      Action = formatlist("eks:%s", [
        "AssociateAccessPolicy", "AssociateEncryptionConfig", "CreateAccessEntry", "CreateAddon", "CreateCluster", "CreatePodIdentityAssociation",
        "DeleteAccessEntry", "DeleteAddon", "DeleteCluster", "DeletePodIdentityAssociation", "DisassociateAccessPolicy", "TagResource", "UntagResource",
        "UpdateAccessEntry", "UpdateAddon", "UpdateClusterConfig", "UpdateClusterVersion", "UpdatePodIdentityAssociation",
      ])
      Resource = [for kind in ["access-entry", "addon", "cluster", "podidentityassociation"] : "${local.arns.eks}:${kind}/${local.name}${kind == "cluster" ? "" : "/*"}"]
    },
    {
      # The condition on a new key's tags applies to every key, so all other keys in this account should have the tag.
      Sid       = "CreateKeys"
      Effect    = "Allow"
      Action    = ["kms:CreateKey", "kms:TagResource"]
      Resource  = "*"
      Condition = merge(local.gets_tagged, local.is_not_others)
    },
    {
      Sid    = "OwnKeys"
      Effect = "Allow"
      Action = formatlist("kms:%s", [
        "CancelKeyDeletion", "CreateAlias", "CreateGrant", "DeleteAlias", "EnableKeyRotation", "PutKeyPolicy", "ScheduleKeyDeletion", "UntagResource", "UpdateAlias",
      ])
      Resource  = ["${local.arns.kms}:key/*"]
      Condition = local.is_tagged
    },
    { Sid = "OwnAliases", Effect = "Allow", Action = ["kms:CreateAlias", "kms:DeleteAlias", "kms:UpdateAlias"], Resource = ["${local.arns.kms}:alias/${local.name}-*"] },
    {
      Sid      = "LogGroups"
      Effect   = "Allow"
      Action   = formatlist("logs:%s", ["AssociateKmsKey", "CreateLogGroup", "DeleteLogGroup", "DeleteRetentionPolicy", "PutRetentionPolicy", "TagResource", "UntagResource"])
      Resource = local.log_groups
    },
    { Sid = "LogQueries", Effect = "Allow", Action = ["logs:DeleteQueryDefinition", "logs:PutQueryDefinition"], Resource = "*", Condition = local.in_region },
  ]

  platform_statements = concat(
    [
      {
        Sid    = "Alarms"
        Effect = "Allow"
        Action = formatlist("cloudwatch:%s", ["DeleteAlarms", "DeleteDashboards", "PutDashboard", "PutMetricAlarm", "TagResource", "UntagResource"])
        Resource = [
          "${local.arns.cloudwatch}:alarm:${var.environment}-*",
          "arn:${local.partition}:cloudwatch::${local.account}:dashboard/${local.name}",
        ]
      },
      # The API supports no resources for these actions; those of other environments are denied below.
      { Sid = "CompositeAlarms", Effect = "Allow", Action = ["cloudwatch:DeleteAlarms", "cloudwatch:PutCompositeAlarm"], Resource = "*", Condition = local.in_region },
      {
        Sid      = "Stacks"
        Effect   = "Allow"
        Action   = formatlist("cloudformation:%s", ["CreateStack", "DeleteStack", "TagResource", "UntagResource", "UpdateStack"])
        Resource = ["${local.arns.cloudformation}:stack/${local.name}-*/*"]
      },
      {
        Sid      = "Topics"
        Effect   = "Allow"
        Action   = formatlist("sns:%s", ["CreateTopic", "DeleteTopic", "SetTopicAttributes", "Subscribe", "TagResource", "UntagResource"])
        Resource = ["${local.arns.sns}:${local.name}-*"]
      },
      { Sid = "Subscriptions", Effect = "Allow", Action = ["sns:SetSubscriptionAttributes", "sns:Unsubscribe"], Resource = "*", Condition = local.in_region },
      { Sid = "CreateUserPools", Effect = "Allow", Action = ["cognito-idp:CreateUserPool"], Resource = "*", Condition = local.gets_tagged },
      {
        # The stack of the clients reads them, with their secrets, as this role.
        Sid    = "OwnUserPools"
        Effect = "Allow"
        Action = formatlist("cognito-idp:%s", concat(
          [for thing in ["Group", "ManagedLoginBranding", "ResourceServer", "UserPoolClient", "UserPoolDomain"] : "Create${thing}"],
          [for thing in ["Group", "ManagedLoginBranding", "ResourceServer", "UserPool", "UserPoolClient", "UserPoolDomain"] : "Delete${thing}"],
          [for thing in ["Group", "ManagedLoginBranding", "ResourceServer", "UserPool", "UserPoolClient", "UserPoolDomain"] : "Update${thing}"],
          ["DescribeUserPoolClient", "SetUserPoolMfaConfig", "TagResource", "UntagResource"],
        ))
        Resource  = ["${local.arns.cognito-idp}:userpool/*"]
        Condition = local.is_tagged
      },
    ],
    length(var.other_environments) == 0 ? [] : [{
      Sid      = "NotOthersAlarms"
      Effect   = "Deny"
      Action   = ["cloudwatch:DeleteAlarms", "cloudwatch:PutCompositeAlarm"]
      Resource = [for environment in var.other_environments : "${local.arns.cloudwatch}:alarm:${environment}-*"]
    }],
  )

  # Secrets of the clients and of the shared store, which stacks create as this role, and the store.
  data_statements = [
    {
      Sid      = "Secrets"
      Effect   = "Allow"
      Action   = formatlist("secretsmanager:%s", ["CreateSecret", "DeleteSecret", "DescribeSecret", "GetSecretValue", "PutSecretValue", "TagResource", "UntagResource", "UpdateSecret"])
      Resource = ["${local.arns.secretsmanager}:secret:${local.name}-*"]
    },
    { Sid = "NewPasswords", Effect = "Allow", Action = ["secretsmanager:GetRandomPassword"], Resource = "*", Condition = local.in_region },
    {
      Sid    = "Store"
      Effect = "Allow"
      Action = concat(
        [for verb in ["Create", "Delete", "Modify"] : "elasticache:${verb}ReplicationGroup"],
        [for verb in ["Create", "Delete", "Modify"] : "elasticache:${verb}CacheSubnetGroup"],
        [for verb in ["Create", "Delete", "Modify"] : "elasticache:${verb}User"],
        [for verb in ["Create", "Delete", "Modify"] : "elasticache:${verb}UserGroup"],
        ["elasticache:AddTagsToResource", "elasticache:DescribeUserGroups", "elasticache:DescribeUsers", "elasticache:RemoveTagsFromResource"],
      )
      Resource = concat(
        [for kind in ["cluster", "replicationgroup", "subnetgroup", "user", "usergroup"] : "${local.arns.elasticache}:${kind}:${local.name}-*"],
        ["${local.arns.elasticache}:parametergroup:default.*"],
      )
    },
  ]

  role_statements = [
    {
      Sid       = "CreateBoundedRoles"
      Effect    = "Allow"
      Action    = ["iam:CreateRole", "iam:DeleteRolePolicy", "iam:DetachRolePolicy", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy"]
      Resource  = [local.roles]
      Condition = { StringEquals = { "iam:PermissionsBoundary" = aws_iam_policy.boundary.arn } }
    },
    {
      Sid      = "AttachKnownPolicies"
      Effect   = "Allow"
      Action   = ["iam:AttachRolePolicy"]
      Resource = [local.roles]
      Condition = {
        StringEquals = { "iam:PermissionsBoundary" = aws_iam_policy.boundary.arn }
        ArnEquals = { "iam:PolicyARN" = formatlist("arn:${local.partition}:iam::aws:policy/%s", [
          "AmazonEC2ContainerRegistryPullOnly", "AmazonEKSBlockStoragePolicy", "AmazonEKSClusterPolicy", "AmazonEKSComputePolicy",
          "AmazonEKSLoadBalancingPolicy", "AmazonEKSNetworkingPolicy", "AmazonEKSWorkerNodeMinimalPolicy",
        ]) }
      }
    },
    {
      # The trust policy of a role decides which principals get the permissions within the boundary.
      Sid      = "KeepRoles"
      Effect   = "Allow"
      Action   = formatlist("iam:%s", ["DeleteRole", "TagRole", "UntagRole", "UpdateAssumeRolePolicy", "UpdateRole"])
      Resource = [local.roles]
    },
    {
      # Without ec2:RunInstances, which it lacks, the role of the nodes is of no use to itself.
      Sid       = "HandRolesToServices"
      Effect    = "Allow"
      Action    = ["iam:PassRole"]
      Resource  = [local.roles]
      Condition = { StringEquals = { "iam:PassedToService" = ["ec2.amazonaws.com", "eks.amazonaws.com", "pods.eks.amazonaws.com", "vpc-flow-logs.amazonaws.com"] } }
    },
    {
      # The names of GitHub's roles have the prefix of the roles that it creates; without this it could change its own permissions.
      Sid    = "NotItself"
      Effect = "Deny"
      Action = formatlist("iam:%s", [
        "AttachRolePolicy", "DeleteRole", "DeleteRolePolicy", "DetachRolePolicy", "PassRole", "PutRolePermissionsBoundary", "PutRolePolicy",
        "UpdateAssumeRolePolicy", "UpdateRole",
      ])
      Resource = ["${local.iam}:role/${local.name}-apply", "${local.iam}:role/${local.name}-plan"]
    },
    {
      Sid       = "ServicesOwnRoles"
      Effect    = "Allow"
      Action    = ["iam:CreateServiceLinkedRole"]
      Resource  = ["${local.iam}:role/aws-service-role/*"]
      Condition = { StringEquals = { "iam:AWSServiceName" = ["eks.amazonaws.com", "elasticache.amazonaws.com"] } }
    },
  ]
}

resource "aws_iam_policy" "apply" {
  # Split by topic, because AWS limits a policy to 6,144 characters.
  for_each = {
    network  = concat(local.denies_others, local.network_statements)
    cluster  = local.cluster_statements
    platform = local.platform_statements
    roles    = local.role_statements
    data     = local.data_statements
  }

  name   = "${local.name}-apply-${each.key}"
  policy = jsonencode({ Version = "2012-10-17", Statement = each.value })
}

resource "aws_iam_role_policy_attachment" "apply" {
  for_each = aws_iam_policy.apply

  role       = aws_iam_role.this["apply"].name
  policy_arn = each.value.arn
}
