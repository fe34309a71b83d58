# Auto Mode acts as this role, in sessions that EKS tags with the cluster's name.
resource "aws_iam_role" "cluster" {
  name                 = "${var.context.name}-cluster"
  permissions_boundary = var.context.permissions_boundary_arn
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "ThisCluster"
      Effect    = "Allow"
      Principal = { Service = "eks.amazonaws.com" }
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Condition = {
        StringEquals = {
          "aws:SourceAccount" = local.account
          "aws:SourceArn"     = "arn:${local.partition}:eks:${local.region}:${local.account}:cluster/${var.context.name}"
        }
      }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "cluster" {
  for_each = toset([for part in ["BlockStorage", "Cluster", "Compute", "LoadBalancing", "Networking"] : "AmazonEKS${part}Policy"])

  role       = aws_iam_role.cluster.name
  policy_arn = "${local.managed}/${each.key}"
}

resource "aws_iam_role_policy" "cluster" {
  for_each = {
    encrypt-secrets = [{ Sid = "EncryptSecrets", Effect = "Allow", Action = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:ListGrants"], Resource = [var.kms_key_arn] }]
    # The managed policies of Auto Mode permit no tags but EKS's. This permits ours, on what is tagged as this cluster's.
    tag-resources = [for service, tagged in {
      ec2                  = { kinds = ["*"], actions = ["CreateFleet", "CreateLaunchTemplate", "CreateNetworkInterface", "CreateSecurityGroup", "CreateSnapshot", "CreateVolume", "RunInstances"] }
      elasticloadbalancing = { kinds = ["listener", "loadbalancer", "targetgroup"], actions = ["CreateListener", "CreateLoadBalancer", "CreateTargetGroup"] }
      } : {
      Sid       = "Tag${title(service)}"
      Effect    = "Allow"
      Action    = formatlist("${service}:%s", tagged.actions)
      Resource  = [for kind in tagged.kinds : "arn:${local.partition}:${service}:${local.region}:${local.account}:${kind}/*"]
      Condition = { StringEquals = { "aws:RequestTag/eks:eks-cluster-name" = var.context.name } }
    }]
  }

  name   = each.key
  role   = aws_iam_role.cluster.name
  policy = jsonencode({ Version = "2012-10-17", Statement = each.value })
}

resource "aws_iam_role" "node" {
  name                 = "${var.context.name}-node"
  permissions_boundary = var.context.permissions_boundary_arn
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Sid = "Instances", Effect = "Allow", Principal = { Service = "ec2.amazonaws.com" }, Action = ["sts:AssumeRole"] }]
  })
}

resource "aws_iam_role_policy_attachment" "node" {
  for_each = toset(["AmazonEKSWorkerNodeMinimalPolicy", "AmazonEC2ContainerRegistryPullOnly"])

  role       = aws_iam_role.node.name
  policy_arn = "${local.managed}/${each.key}"
}

# The first pull of an image through the registry's cache creates its repository.
resource "aws_iam_role_policy" "node" {
  name = "create-cached-repositories"
  role = aws_iam_role.node.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "CreateCachedRepositories"
      Effect   = "Allow"
      Action   = ["ecr:CreateRepository"]
      Resource = [for registry in ["docker.io", "quay.io", "registry.k8s.io"] : "arn:${local.partition}:ecr:${local.region}:${local.account}:repository/${registry}/*"]
    }]
  })
}
