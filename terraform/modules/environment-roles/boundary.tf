# The maximum permissions of roles that Terraform creates for the environment, whatever policies they have: run nodes with their network,
# load balancers and volumes, write telemetry, change the environment's DNS records, use keys. No IAM but handing the nodes' role to nodes,
# no assuming of other roles, no reading of buckets or of others' secrets, nothing in other regions or of other environments.
resource "aws_iam_policy" "boundary" {
  name = "${local.name}-boundary"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      local.denies_others,
      [
        {
          Sid    = "Boundary"
          Effect = "Allow"
          Action = concat(
            ["cloudwatch:PutMetricData", "eks-auth:AssumeRoleForPodIdentity", "sns:Publish"],
            formatlist("ec2:%s", [
              "AssignPrivateIpAddresses", "AttachNetworkInterface", "AttachVolume", "AuthorizeSecurityGroupIngress", "CreateFleet", "CreateLaunchTemplate",
              "CreateNetworkInterface", "CreateSecurityGroup", "CreateSnapshot", "CreateTags", "CreateVolume", "DeleteNetworkInterface", "DeleteSecurityGroup",
              "DeleteVolume", "Describe*", "DetachNetworkInterface", "DetachVolume", "GetSecurityGroupsForVpc", "ModifyNetworkInterfaceAttribute",
              "ModifyVolume", "RevokeSecurityGroupIngress", "RunInstances", "UnassignPrivateIpAddresses",
            ]),
            formatlist("ecr:%s", [
              "BatchCheckLayerAvailability", "BatchGetImage", "BatchImportUpstreamImage", "CreateRepository", "GetAuthorizationToken", "GetDownloadUrlForLayer",
            ]),
            formatlist("elasticloadbalancing:%s", [
              "AddTags", "CreateListener", "CreateLoadBalancer", "CreateTargetGroup", "DeleteListener", "DeleteLoadBalancer", "DeleteTargetGroup",
              "DeregisterTargets", "Describe*", "ModifyListener", "ModifyListenerAttributes", "ModifyLoadBalancerAttributes", "ModifyTargetGroup",
              "ModifyTargetGroupAttributes", "RegisterTargets", "RemoveTags", "SetIpAddressType", "SetSecurityGroups", "SetSubnets",
            ]),
            formatlist("kms:%s", ["CreateGrant", "Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ListGrants"]),
            formatlist("logs:%s", ["CreateLogStream", "Describe*", "PutLogEvents"]),
            formatlist("xray:%s", ["PutSpans", "PutSpansForIndexing", "PutTraceSegments"]),
          )
          Resource  = "*"
          Condition = local.in_region
        },
        {
          # Route 53 has no region.
          Sid      = "BoundaryOfZones"
          Effect   = "Allow"
          Action   = ["route53:GetChange", "route53:List*"]
          Resource = "*"
        },
        {
          Sid      = "BoundaryOfSecrets"
          Effect   = "Allow"
          Action   = ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"]
          Resource = ["${local.arns.secretsmanager}:secret:${local.name}-*"]
        },
        {
          # Auto Mode makes instance profiles that begin with eks, with the role of the nodes.
          Sid      = "BoundaryOfNodes"
          Effect   = "Allow"
          Action   = ["iam:AddRoleToInstanceProfile", "iam:PassRole"]
          Resource = ["${local.iam}:instance-profile/eks*", "${local.iam}:role/${local.name}-node"]
        },
        {
          Sid       = "BoundaryOfServicesOwnRoles"
          Effect    = "Allow"
          Action    = ["iam:CreateServiceLinkedRole"]
          Resource  = ["${local.iam}:role/aws-service-role/*"]
          Condition = { StringEquals = { "iam:AWSServiceName" = ["elasticloadbalancing.amazonaws.com", "spot.amazonaws.com"] } }
        },
      ],
      length(var.hosted_zone_arns) == 0 ? [] : [{ Sid = "BoundaryOfRecords", Effect = "Allow", Action = ["route53:ChangeResourceRecordSets"], Resource = sort(var.hosted_zone_arns) }],
    )
  })
}
