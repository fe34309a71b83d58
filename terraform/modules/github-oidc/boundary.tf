# The maximum permissions of roles that Terraform creates for an environment, whatever policies they have: run nodes and their
# network, load balancers and disks, write telemetry, change the environment's DNS records, use keys. No IAM, no assuming of other
# roles, no reading of buckets or of others' secrets, nothing in other regions or of other environments.
resource "aws_iam_policy" "boundary" {
  for_each = var.environments

  name = "${var.name}-${each.key}-boundary"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      local.others[each.key],
      [{
        Sid    = "Boundary"
        Effect = "Allow"
        Action = [
          "autoscaling:Describe*",
          "autoscaling:UpdateAutoScalingGroup",
          "cloudwatch:PutMetricData",
          "ec2:AssignIpv6Addresses",
          "ec2:AssignPrivateIpAddresses",
          "ec2:AttachNetworkInterface",
          "ec2:AttachVolume",
          "ec2:AuthorizeSecurityGroupIngress",
          "ec2:CreateNetworkInterface",
          "ec2:CreateRoute",
          "ec2:CreateSecurityGroup",
          "ec2:CreateSnapshot",
          "ec2:CreateTags",
          "ec2:CreateVolume",
          "ec2:DeleteNetworkInterface",
          "ec2:DeleteRoute",
          "ec2:DeleteSecurityGroup",
          "ec2:DeleteSnapshot",
          "ec2:DeleteTags",
          "ec2:DeleteVolume",
          "ec2:Describe*",
          "ec2:DetachNetworkInterface",
          "ec2:DetachVolume",
          "ec2:GetSecurityGroupsForVpc",
          "ec2:ModifyInstanceAttribute",
          "ec2:ModifyNetworkInterfaceAttribute",
          "ec2:ModifyVolume",
          "ec2:RevokeSecurityGroupIngress",
          "ec2:UnassignPrivateIpAddresses",
          "ecr:BatchCheckLayerAvailability",
          "ecr:BatchGetImage",
          "ecr:GetAuthorizationToken",
          "ecr:GetDownloadUrlForLayer",
          "eks-auth:AssumeRoleForPodIdentity",
          "eks:DescribeCluster",
          "elasticloadbalancing:AddTags",
          "elasticloadbalancing:ApplySecurityGroupsToLoadBalancer",
          "elasticloadbalancing:AttachLoadBalancerToSubnets",
          "elasticloadbalancing:ConfigureHealthCheck",
          "elasticloadbalancing:CreateListener",
          "elasticloadbalancing:CreateLoadBalancer",
          "elasticloadbalancing:CreateLoadBalancerListeners",
          "elasticloadbalancing:CreateLoadBalancerPolicy",
          "elasticloadbalancing:CreateTargetGroup",
          "elasticloadbalancing:DeleteListener",
          "elasticloadbalancing:DeleteLoadBalancer",
          "elasticloadbalancing:DeleteLoadBalancerListeners",
          "elasticloadbalancing:DeleteTargetGroup",
          "elasticloadbalancing:DeregisterInstancesFromLoadBalancer",
          "elasticloadbalancing:DeregisterTargets",
          "elasticloadbalancing:Describe*",
          "elasticloadbalancing:DetachLoadBalancerFromSubnets",
          "elasticloadbalancing:ModifyListener",
          "elasticloadbalancing:ModifyListenerAttributes",
          "elasticloadbalancing:ModifyLoadBalancerAttributes",
          "elasticloadbalancing:ModifyTargetGroup",
          "elasticloadbalancing:ModifyTargetGroupAttributes",
          "elasticloadbalancing:RegisterInstancesWithLoadBalancer",
          "elasticloadbalancing:RegisterTargets",
          "elasticloadbalancing:RemoveTags",
          "elasticloadbalancing:SetLoadBalancerPoliciesForBackendServer",
          "elasticloadbalancing:SetLoadBalancerPoliciesOfListener",
          "elasticloadbalancing:SetSecurityGroups",
          "elasticloadbalancing:SetSubnets",
          "kms:CreateGrant",
          "kms:Decrypt",
          "kms:DescribeKey",
          "kms:Encrypt",
          "kms:GenerateDataKey",
          "kms:GenerateDataKeyWithoutPlaintext",
          "kms:ListGrants",
          "logs:CreateLogGroup",
          "logs:CreateLogStream",
          "logs:Describe*",
          "logs:PutLogEvents",
          "logs:PutRetentionPolicy",
          "xray:GetSampling*",
          "xray:PutSpans",
          "xray:PutSpansForIndexing",
          "xray:PutTelemetryRecords",
          "xray:PutTraceSegments",
        ]
        Resource  = "*"
        Condition = local.here
      }],
      [{
        # Route 53 has no region.
        Sid      = "BoundaryOfZones"
        Effect   = "Allow"
        Action   = ["route53:GetChange", "route53:List*"]
        Resource = "*"
      }],
      [for _ in range(length(local.zones[each.key]) > 0 ? 1 : 0) : {
        Sid      = "BoundaryOfRecords"
        Effect   = "Allow"
        Action   = ["route53:ChangeResourceRecordSets"]
        Resource = local.zones[each.key]
      }],
    )
  })
}

locals {
  zones = { for environment in var.environments : environment => sort(lookup(var.hosted_zone_arns, environment, [])) }
}

# Resources of another environment, by our tag, or by the tag with the cluster's name from EKS, the load balancer controller or
# the disks' driver. Resources without these tags are not protected.
locals {
  strangers = { for environment in var.environments : environment => sort(setsubtract(var.environments, [environment])) }

  others = {
    for environment, strangers in local.strangers : environment => [
      for sid, said in {
        NotOthers         = { tag = "environment", values = strangers }
        NotOthersClusters = { tag = "aws:eks:cluster-name", values = [for other in strangers : local.names[other]] }
        NotOthersBalancer = { tag = "elbv2.k8s.aws/cluster", values = [for other in strangers : local.names[other]] }
        NotOthersDisks    = { tag = "KubernetesCluster", values = [for other in strangers : local.names[other]] }
        } : {
        Sid       = sid
        Effect    = "Deny"
        Action    = ["ec2:*", "elasticloadbalancing:*", "kms:*"]
        Resource  = "*"
        Condition = { StringEquals = { "aws:ResourceTag/${said.tag}" = said.values } }
      } if length(strangers) > 0
    ]
  }
}
