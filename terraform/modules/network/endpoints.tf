locals {
  pull = formatlist("ecr:%s", [
    "BatchCheckLayerAvailability", "BatchGetImage", "BatchImportUpstreamImage", "CreateRepository", "GetAuthorizationToken", "GetDownloadUrlForLayer",
  ])
}

resource "aws_security_group" "endpoints" {
  # checkov:skip=CKV_AWS_23: the rule's tag describes it
  name   = "${var.context.name}-endpoints"
  vpc_id = aws_vpc.this.id
  tags   = { Name = "${var.context.name}-endpoints" }
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  # checkov:skip=CKV_AWS_23: the rule's tag describes it
  security_group_id = aws_security_group.endpoints.id
  cidr_ipv4         = aws_vpc.this.cidr_block
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = { Name = "https-from-the-network" }
}

resource "aws_vpc_endpoint" "interface" {
  # The requests of nodes and pods to each service. Images are pulled; the first pull through a cache imports them. Pushes come from
  # outside.
  for_each = {
    "ecr.api" = local.pull
    "ecr.dkr" = local.pull
    "logs"    = formatlist("logs:%s", ["CreateLogGroup", "CreateLogStream", "DescribeLogGroups", "DescribeLogStreams", "PutLogEvents", "PutRetentionPolicy"])
    "sts"     = ["sts:AssumeRole", "sts:GetCallerIdentity", "sts:TagSession"]
  }

  vpc_id              = aws_vpc.this.id
  service_name        = "com.amazonaws.${local.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = [for az in var.network.availability_zones : aws_subnet.private[az].id]
  security_group_ids  = [aws_security_group.endpoints.id]
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OwnAccount"
      Effect    = "Allow"
      Principal = "*"
      Action    = each.value
      Resource  = "*"
      Condition = { StringEquals = { "aws:PrincipalAccount" = local.account } }
    }]
  })
  tags = { Name = "${var.context.name}-${each.key}" }
}

resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${local.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [for az in var.network.availability_zones : aws_route_table.private[az].id]
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      # Where layers are downloaded from inside AWS: those of ECR, and so of its pull-through cache, and of images that are pulled without
      # the cache from registry.k8s.io and quay.io. Every principal: the URLs of layers are signed by another account, or not signed.
      Sid       = "ReadNamedBuckets"
      Effect    = "Allow"
      Principal = "*"
      Action    = ["s3:GetObject"]
      Resource = [
        for bucket in ["prod-${local.region}-starport-layer-bucket", "prod-registry-k8s-io-${local.region}", "quayio-production-s3"] : "arn:${local.partition}:s3:::${bucket}/*"
      ]
    }]
  })
  tags = { Name = "${var.context.name}-s3" }
}
