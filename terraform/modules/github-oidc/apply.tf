# The permissions of an environment's Terraform. Resources with names are limited to the environment's names, the creation of
# others to this region, and their deletion to resources with the environment's tag. Roles can only be created with the environment's
# permissions boundary, which limits their permissions.
locals {
  names = { for environment in var.environments : environment => "${var.name}-${environment}" }

  arns = {
    for environment, name in local.names : environment => {
      for service in ["cloudformation", "cloudwatch", "cognito-idp", "eks", "kms", "logs", "sns"] :
      service => "arn:${local.partition}:${service}:${local.region}:${local.account}"
    }
  }

  here = { StringEquals = { "aws:RequestedRegion" = local.region } }
  # Resources without a tag, or of a type without tags, belong to no other environment: `others` denies those with another tag.
  unlike_others = { for environment in var.environments : environment => merge(local.here, { StringEqualsIfExists = { "aws:ResourceTag/environment" = environment } }) }
  tagged        = { for environment in var.environments : environment => { StringEquals = { "aws:ResourceTag/environment" = environment } } }
  tags          = { for environment in var.environments : environment => { StringEquals = { "aws:RequestTag/environment" = environment } } }

  managed_policies = [
    for policy in [
      "AWSXrayWriteOnlyAccess",
      "AmazonEC2ContainerRegistryPullOnly",
      "AmazonEKSClusterPolicy",
      "AmazonEKSWorkerNodePolicy",
      "AmazonEKS_CNI_Policy",
      "CloudWatchAgentServerPolicy",
      "service-role/AmazonEBSCSIDriverPolicy",
    ] : "arn:${local.partition}:iam::aws:policy/${policy}"
  ]

  state_statements = {
    for environment in var.environments : environment => [
      {
        Sid      = "State"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject"]
        Resource = ["${var.state_bucket_arn}/${environment}/terraform.tfstate"]
      },
      {
        Sid      = "StateLock"
        Effect   = "Allow"
        Action   = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
        Resource = ["${var.state_bucket_arn}/${environment}/terraform.tfstate.tflock"]
      },
      {
        Sid      = "ListState"
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = [var.state_bucket_arn]
      },
      {
        Sid      = "EncryptState"
        Effect   = "Allow"
        Action   = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"]
        Resource = [var.state_kms_key_arn]
      },
    ]
  }

  role_statements = {
    for environment, name in local.names : environment => [
      {
        Sid    = "MakeBoundedRoles"
        Effect = "Allow"
        Action = [
          "iam:CreateRole",
          "iam:DeleteRolePolicy",
          "iam:DetachRolePolicy",
          "iam:PutRolePermissionsBoundary",
          "iam:PutRolePolicy",
        ]
        Resource  = ["arn:${local.partition}:iam::${local.account}:role/${name}-*"]
        Condition = { StringEquals = { "iam:PermissionsBoundary" = aws_iam_policy.boundary[environment].arn } }
      },
      {
        Sid      = "AttachKnownPolicies"
        Effect   = "Allow"
        Action   = ["iam:AttachRolePolicy"]
        Resource = ["arn:${local.partition}:iam::${local.account}:role/${name}-*"]
        Condition = {
          StringEquals = { "iam:PermissionsBoundary" = aws_iam_policy.boundary[environment].arn }
          ArnEquals    = { "iam:PolicyARN" = local.managed_policies }
        }
      },
      {
        # The trust policy of a role decides which principals get the permissions within the boundary.
        Sid    = "KeepRoles"
        Effect = "Allow"
        Action = [
          "iam:DeleteRole",
          "iam:TagRole",
          "iam:UntagRole",
          "iam:UpdateAssumeRolePolicy",
          "iam:UpdateRole",
        ]
        Resource = ["arn:${local.partition}:iam::${local.account}:role/${name}-*"]
      },
      {
        Sid      = "HandRolesToServices"
        Effect   = "Allow"
        Action   = ["iam:PassRole"]
        Resource = ["arn:${local.partition}:iam::${local.account}:role/${name}-*"]
        Condition = {
          StringEquals = {
            "iam:PassedToService" = ["ec2.amazonaws.com", "eks.amazonaws.com", "pods.eks.amazonaws.com", "vpc-flow-logs.amazonaws.com"]
          }
        }
      },
      {
        # Its own name has the prefix of the roles that it creates; without this it could change its own permissions.
        Sid    = "NotItself"
        Effect = "Deny"
        Action = [
          "iam:AttachRolePolicy",
          "iam:DeleteRole",
          "iam:DeleteRolePolicy",
          "iam:DetachRolePolicy",
          "iam:PassRole",
          "iam:PutRolePermissionsBoundary",
          "iam:PutRolePolicy",
          "iam:UpdateAssumeRolePolicy",
          "iam:UpdateRole",
        ]
        Resource = ["arn:${local.partition}:iam::${local.account}:role/${name}-apply"]
      },
      {
        Sid      = "ServicesOwnRoles"
        Effect   = "Allow"
        Action   = ["iam:CreateServiceLinkedRole"]
        Resource = ["arn:${local.partition}:iam::${local.account}:role/aws-service-role/*"]
        Condition = {
          StringEquals = {
            "iam:AWSServiceName" = [
              "autoscaling.amazonaws.com",
              "eks-nodegroup.amazonaws.com",
              "eks.amazonaws.com",
              "elasticloadbalancing.amazonaws.com",
            ]
          }
        }
      },
    ]
  }

  network_statements = {
    for environment in var.environments : environment => concat(local.others[environment], [
      {
        Sid    = "MakeNetworks"
        Effect = "Allow"
        Action = [
          "ec2:AllocateAddress",
          "ec2:AssociateRouteTable",
          "ec2:AttachInternetGateway",
          "ec2:AuthorizeSecurityGroupEgress",
          "ec2:AuthorizeSecurityGroupIngress",
          "ec2:CreateFlowLogs",
          "ec2:CreateInternetGateway",
          "ec2:CreateLaunchTemplate",
          "ec2:CreateLaunchTemplateVersion",
          "ec2:CreateNatGateway",
          "ec2:CreateRoute",
          "ec2:CreateRouteTable",
          "ec2:CreateSecurityGroup",
          "ec2:CreateSubnet",
          "ec2:CreateTags",
          "ec2:CreateVpc",
          "ec2:CreateVpcEndpoint",
          "ec2:ModifyLaunchTemplate",
          "ec2:ModifySecurityGroupRules",
          "ec2:ModifySubnetAttribute",
          "ec2:ModifyVpcAttribute",
          "ec2:ModifyVpcEndpoint",
          "ec2:ReplaceRoute",
          "ec2:ReplaceRouteTableAssociation",
          "ec2:RevokeSecurityGroupEgress",
          "ec2:RevokeSecurityGroupIngress",
          "ec2:RunInstances",
          "logs:CreateLogDelivery",
          "logs:DeleteLogDelivery",
        ]
        Resource  = "*"
        Condition = local.unlike_others[environment]
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
        Action = [
          "ec2:DeleteFlowLogs",
          "ec2:DeleteInternetGateway",
          "ec2:DeleteLaunchTemplate",
          "ec2:DeleteLaunchTemplateVersions",
          "ec2:DeleteNatGateway",
          "ec2:DeleteRoute",
          "ec2:DeleteRouteTable",
          "ec2:DeleteSecurityGroup",
          "ec2:DeleteSubnet",
          "ec2:DeleteTags",
          "ec2:DeleteVpc",
          "ec2:DeleteVpcEndpoints",
          "ec2:DetachInternetGateway",
          "ec2:DisassociateAddress",
          "ec2:DisassociateRouteTable",
          "ec2:ReleaseAddress",
        ]
        Resource  = "*"
        Condition = local.tagged[environment]
      },
    ])
  }

  platform_statements = {
    for environment, name in local.names : environment => concat([
      {
        Sid    = "Cluster"
        Effect = "Allow"
        Action = [
          "eks:AssociateAccessPolicy",
          "eks:AssociateEncryptionConfig",
          "eks:CreateAccessEntry",
          "eks:CreateAddon",
          "eks:CreateCluster",
          "eks:CreateNodegroup",
          "eks:CreatePodIdentityAssociation",
          "eks:DeleteAccessEntry",
          "eks:DeleteAddon",
          "eks:DeleteCluster",
          "eks:DeleteNodegroup",
          "eks:DeletePodIdentityAssociation",
          "eks:DisassociateAccessPolicy",
          "eks:TagResource",
          "eks:UntagResource",
          "eks:UpdateAccessEntry",
          "eks:UpdateAddon",
          "eks:UpdateClusterConfig",
          "eks:UpdateClusterVersion",
          "eks:UpdateNodegroupConfig",
          "eks:UpdateNodegroupVersion",
          "eks:UpdatePodIdentityAssociation",
        ]
        Resource = [
          for kind in ["access-entry", "addon", "cluster", "nodegroup", "podidentityassociation"] :
          "${local.arns[environment].eks}:${kind}/${name}${kind == "cluster" ? "" : "/*"}"
        ]
      },
      {
        # The condition on a new key's tags applies to every key, so all other keys in this account should have the tag.
        Sid       = "MakeKeys"
        Effect    = "Allow"
        Action    = ["kms:CreateKey", "kms:TagResource"]
        Resource  = "*"
        Condition = merge(local.tags[environment], { StringEqualsIfExists = { "aws:ResourceTag/environment" = environment } })
      },
      {
        Sid    = "OwnKeys"
        Effect = "Allow"
        Action = [
          "kms:CreateAlias",
          "kms:DeleteAlias",
          "kms:EnableKeyRotation",
          "kms:PutKeyPolicy",
          "kms:ScheduleKeyDeletion",
          "kms:UntagResource",
          "kms:UpdateAlias",
        ]
        Resource  = ["${local.arns[environment].kms}:key/*"]
        Condition = local.tagged[environment]
      },
      {
        Sid      = "OwnAliases"
        Effect   = "Allow"
        Action   = ["kms:CreateAlias", "kms:DeleteAlias", "kms:UpdateAlias"]
        Resource = ["${local.arns[environment].kms}:alias/${name}-*"]
      },
      {
        Sid       = "KeysForServices"
        Effect    = "Allow"
        Action    = ["kms:CreateGrant"]
        Resource  = ["${local.arns[environment].kms}:key/*"]
        Condition = local.tagged[environment]
      },
      {
        Sid    = "LogGroups"
        Effect = "Allow"
        Action = [
          "logs:AssociateKmsKey",
          "logs:CreateLogGroup",
          "logs:DeleteLogGroup",
          "logs:PutRetentionPolicy",
          "logs:TagResource",
          "logs:UntagResource",
        ]
        Resource = [
          for folder in ["/aws/containerinsights", "/aws/eks", "/aws/vpc", "/shoutback"] :
          "${local.arns[environment].logs}:log-group:${folder}/${name}/*"
        ]
      },
      {
        Sid       = "LogQueries"
        Effect    = "Allow"
        Action    = ["logs:DeleteQueryDefinition", "logs:PutQueryDefinition"]
        Resource  = "*"
        Condition = local.here
      },
      {
        Sid    = "Alarms"
        Effect = "Allow"
        Action = [
          "cloudwatch:DeleteAlarms",
          "cloudwatch:DeleteDashboards",
          "cloudwatch:PutDashboard",
          "cloudwatch:PutMetricAlarm",
          "cloudwatch:TagResource",
          "cloudwatch:UntagResource",
        ]
        Resource = [
          "${local.arns[environment].cloudwatch}:alarm:${environment}-*",
          "arn:${local.partition}:cloudwatch::${local.account}:dashboard/${name}*",
        ]
      },
      {
        # The API supports no resources for these actions; those of other environments are denied below.
        Sid       = "CompositeAlarms"
        Effect    = "Allow"
        Action    = ["cloudwatch:DeleteAlarms", "cloudwatch:PutCompositeAlarm"]
        Resource  = "*"
        Condition = local.here
      },
      {
        Sid      = "Stacks"
        Effect   = "Allow"
        Action   = ["cloudformation:CreateStack", "cloudformation:DeleteStack", "cloudformation:TagResource", "cloudformation:UntagResource", "cloudformation:UpdateStack"]
        Resource = ["${local.arns[environment].cloudformation}:stack/${name}*/*"]
      },
      {
        Sid    = "Topics"
        Effect = "Allow"
        Action = [
          "sns:CreateTopic",
          "sns:DeleteTopic",
          "sns:SetTopicAttributes",
          "sns:Subscribe",
          "sns:TagResource",
          "sns:UntagResource",
        ]
        Resource = ["${local.arns[environment].sns}:${name}*"]
      },
      {
        Sid       = "Subscriptions"
        Effect    = "Allow"
        Action    = ["sns:SetSubscriptionAttributes", "sns:Unsubscribe"]
        Resource  = "*"
        Condition = local.here
      },
      {
        Sid       = "MakeUserPools"
        Effect    = "Allow"
        Action    = ["cognito-idp:CreateUserPool"]
        Resource  = "*"
        Condition = local.tags[environment]
      },
      {
        Sid    = "OwnUserPools"
        Effect = "Allow"
        Action = [
          "cognito-idp:CreateGroup",
          "cognito-idp:CreateManagedLoginBranding",
          "cognito-idp:CreateResourceServer",
          "cognito-idp:CreateUserPoolClient",
          "cognito-idp:CreateUserPoolDomain",
          "cognito-idp:DeleteGroup",
          "cognito-idp:DeleteManagedLoginBranding",
          "cognito-idp:DeleteResourceServer",
          "cognito-idp:DeleteUserPool",
          "cognito-idp:DeleteUserPoolClient",
          "cognito-idp:DeleteUserPoolDomain",
          "cognito-idp:SetUserPoolMfaConfig",
          "cognito-idp:TagResource",
          "cognito-idp:UntagResource",
          "cognito-idp:UpdateGroup",
          "cognito-idp:UpdateManagedLoginBranding",
          "cognito-idp:UpdateResourceServer",
          "cognito-idp:UpdateUserPool",
          "cognito-idp:UpdateUserPoolClient",
          "cognito-idp:UpdateUserPoolDomain",
        ]
        Resource  = ["${local.arns[environment].cognito-idp}:userpool/*"]
        Condition = local.tagged[environment]
      },
      {
        Sid       = "RequestCertificates"
        Effect    = "Allow"
        Action    = ["acm:AddTagsToCertificate", "acm:RequestCertificate"]
        Resource  = "*"
        Condition = local.tags[environment]
      },
      {
        Sid       = "OwnCertificates"
        Effect    = "Allow"
        Action    = ["acm:DeleteCertificate", "acm:RemoveTagsFromCertificate"]
        Resource  = ["arn:${local.partition}:acm:${local.region}:${local.account}:certificate/*"]
        Condition = local.tagged[environment]
      },
      ],
      [for _ in range(length(local.zones[environment]) > 0 ? 1 : 0) : {
        Sid      = "Records"
        Effect   = "Allow"
        Action   = ["route53:ChangeResourceRecordSets"]
        Resource = local.zones[environment]
      }],
      [for _ in range(length(local.strangers[environment]) > 0 ? 1 : 0) : {
        Sid      = "NotOthersAlarms"
        Effect   = "Deny"
        Action   = ["cloudwatch:DeleteAlarms", "cloudwatch:PutCompositeAlarm"]
        Resource = [for other in local.strangers[environment] : "${local.arns[environment].cloudwatch}:alarm:${other}-*"]
      }],
    )
  }

  # Split, because AWS limits a policy to 6,144 characters.
  apply_policies = merge([
    for environment in var.environments : {
      for part, statements in {
        network  = local.network_statements[environment]
        platform = local.platform_statements[environment]
        roles    = concat(local.role_statements[environment], local.state_statements[environment])
      } : "${environment}-${part}" => { environment = environment, statements = statements }
    }
  ]...)
}

resource "aws_iam_role" "apply" {
  for_each = var.environments

  name                 = "${local.names[each.key]}-apply"
  assume_role_policy   = local.trust["apply-${each.key}"]
  max_session_duration = 3600
}

resource "aws_iam_policy" "apply" {
  for_each = local.apply_policies

  name = "${var.name}-apply-${each.key}"
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = each.value.statements
  })
}

resource "aws_iam_role_policy_attachment" "apply" {
  for_each = local.apply_policies

  role       = aws_iam_role.apply[each.value.environment].name
  policy_arn = aws_iam_policy.apply[each.key].arn
}

resource "aws_iam_role_policy_attachment" "apply_read" {
  for_each = var.environments

  role       = aws_iam_role.apply[each.key].name
  policy_arn = aws_iam_policy.read.arn
}
