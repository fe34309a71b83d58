# The permissions of the AWS Load Balancer Controller for network load balancers with pods as targets, without those for its other
# features. It tags its resources with the cluster's name, which limits it to this cluster's.
locals {
  ours      = "elbv2.k8s.aws/cluster"
  made_ours = { StringEquals = { "aws:RequestTag/${local.ours}" = var.cluster_name } }
  are_ours  = { StringEquals = { "aws:ResourceTag/${local.ours}" = var.cluster_name } }

  elb   = "arn:${local.partition}:elasticloadbalancing:${local.region}:${local.account}"
  ec2   = "arn:${local.partition}:ec2:${local.region}:${local.account}"
  parts = ["${local.elb}:loadbalancer/net/*", "${local.elb}:listener/net/*", "${local.elb}:targetgroup/*"]

  load_balancer_statements = [
    {
      Sid    = "Look"
      Effect = "Allow"
      Action = [
        "ec2:DescribeAccountAttributes",
        "ec2:DescribeAddresses",
        "ec2:DescribeAvailabilityZones",
        "ec2:DescribeInstances",
        "ec2:DescribeInternetGateways",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeRouteTables",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeTags",
        "ec2:DescribeVpcPeeringConnections",
        "ec2:DescribeVpcs",
        "ec2:GetSecurityGroupsForVpc",
        "elasticloadbalancing:DescribeCapacityReservation",
        "elasticloadbalancing:DescribeListenerAttributes",
        "elasticloadbalancing:DescribeListenerCertificates",
        "elasticloadbalancing:DescribeListeners",
        "elasticloadbalancing:DescribeLoadBalancerAttributes",
        "elasticloadbalancing:DescribeLoadBalancers",
        "elasticloadbalancing:DescribeRules",
        "elasticloadbalancing:DescribeTags",
        "elasticloadbalancing:DescribeTargetGroupAttributes",
        "elasticloadbalancing:DescribeTargetGroups",
        "elasticloadbalancing:DescribeTargetHealth",
      ]
      Resource  = "*"
      Condition = { StringEquals = { "aws:RequestedRegion" = local.region } }
    },
    {
      Sid       = "MakeGroups"
      Effect    = "Allow"
      Action    = ["ec2:CreateSecurityGroup"]
      Resource  = ["${local.ec2}:security-group/*"]
      Condition = local.made_ours
    },
    {
      Sid      = "MakeGroupsInNetwork"
      Effect   = "Allow"
      Action   = ["ec2:CreateSecurityGroup"]
      Resource = ["${local.ec2}:vpc/${var.vpc_id}"]
    },
    {
      Sid      = "TagNewGroups"
      Effect   = "Allow"
      Action   = ["ec2:CreateTags"]
      Resource = ["${local.ec2}:security-group/*"]
      Condition = {
        StringEquals = {
          "aws:RequestTag/${local.ours}" = var.cluster_name
          "ec2:CreateAction"             = "CreateSecurityGroup"
        }
      }
    },
    {
      Sid       = "KeepGroups"
      Effect    = "Allow"
      Action    = ["ec2:AuthorizeSecurityGroupIngress", "ec2:DeleteSecurityGroup", "ec2:RevokeSecurityGroupIngress"]
      Resource  = ["${local.ec2}:security-group/*"]
      Condition = local.are_ours
    },
    {
      Sid      = "OpenNodesToLoadBalancers"
      Effect   = "Allow"
      Action   = ["ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"]
      Resource = ["${local.ec2}:security-group/${var.cluster_security_group_id}"]
    },
    {
      Sid    = "Make"
      Effect = "Allow"
      Action = [
        "elasticloadbalancing:CreateListener",
        "elasticloadbalancing:CreateLoadBalancer",
        "elasticloadbalancing:CreateTargetGroup",
      ]
      Resource  = local.parts
      Condition = local.made_ours
    },
    {
      Sid      = "TagNew"
      Effect   = "Allow"
      Action   = ["elasticloadbalancing:AddTags"]
      Resource = local.parts
      Condition = {
        StringEquals = {
          "aws:RequestTag/${local.ours}"      = var.cluster_name
          "elasticloadbalancing:CreateAction" = ["CreateListener", "CreateLoadBalancer", "CreateTargetGroup"]
        }
      }
    },
    {
      Sid    = "Keep"
      Effect = "Allow"
      Action = [
        "elasticloadbalancing:DeleteListener",
        "elasticloadbalancing:DeleteLoadBalancer",
        "elasticloadbalancing:DeleteTargetGroup",
        "elasticloadbalancing:DeregisterTargets",
        "elasticloadbalancing:ModifyListener",
        "elasticloadbalancing:ModifyListenerAttributes",
        "elasticloadbalancing:ModifyLoadBalancerAttributes",
        "elasticloadbalancing:ModifyTargetGroup",
        "elasticloadbalancing:ModifyTargetGroupAttributes",
        "elasticloadbalancing:RegisterTargets",
        "elasticloadbalancing:SetSecurityGroups",
        "elasticloadbalancing:SetSubnets",
      ]
      Resource  = local.parts
      Condition = local.are_ours
    },
    {
      # Except the tag that identifies this cluster's resources.
      Sid      = "ChangeOtherTags"
      Effect   = "Allow"
      Action   = ["elasticloadbalancing:AddTags", "elasticloadbalancing:RemoveTags"]
      Resource = local.parts
      Condition = {
        StringEquals = { "aws:ResourceTag/${local.ours}" = var.cluster_name }
        Null         = { "aws:RequestTag/${local.ours}" = "true" }
      }
    },
  ]
}
