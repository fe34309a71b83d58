mock_provider "aws" {
  source          = "../../testing/aws"
  override_during = plan
}

variables {
  name                     = "shoutback-production"
  cidr                     = "10.30.0.0/16"
  azs                      = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  flow_log_kms_key_arn     = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
  permissions_boundary_arn = "arn:aws:iam::111122223333:policy/shoutback-production-boundary"
}

run "example" {
  command = plan

  module {
    source = "./example"
  }

  assert {
    condition     = length(output.private_subnet_ids) == 3
    error_message = "One private subnet per zone."
  }

  assert {
    condition     = length(output.nat_public_ips) == 1
    error_message = "There is one NAT gateway."
  }
}

run "nat_per_zone" {
  command = plan

  assert {
    condition     = length(aws_nat_gateway.this) == 3 && length(output.nat_public_ips) == 3
    error_message = "One NAT gateway per zone."
  }

  assert {
    condition = alltrue([
      for az in var.azs : aws_route.by_nat[az].nat_gateway_id == aws_nat_gateway.this[az].id && aws_nat_gateway.this[az].subnet_id == aws_subnet.public[az].id
    ])
    error_message = "Each zone routes to its own NAT gateway."
  }

  assert {
    condition     = alltrue([for subnet in concat(values(aws_subnet.public), values(aws_subnet.private)) : !subnet.map_public_ip_on_launch])
    error_message = "Instances get no public address."
  }

  assert {
    condition     = alltrue([for subnet in aws_subnet.private : subnet.tags["kubernetes.io/role/internal-elb"] == "1"]) && alltrue([for subnet in aws_subnet.public : subnet.tags["kubernetes.io/role/elb"] == "1"])
    error_message = "Load balancers find their subnets by tags."
  }

  assert {
    condition     = toset([for endpoint in aws_vpc_endpoint.interface : endpoint.service_name]) == toset([for service in ["ecr.api", "ecr.dkr", "logs", "sts"] : "com.amazonaws.eu-central-1.${service}"])
    error_message = "There are endpoints for ECR, logs and STS."
  }

  assert {
    condition     = aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway" && aws_vpc_endpoint.s3.route_table_ids == toset([for table in aws_route_table.private : table.id])
    error_message = "The private subnets have a route to the S3 endpoint."
  }

  assert {
    condition     = aws_flow_log.this.traffic_type == "ALL" && aws_flow_log.this.vpc_id == aws_vpc.this.id
    error_message = "Flow logs have accepted and rejected traffic of the whole network."
  }

  assert {
    condition     = aws_iam_role.flow_logs.permissions_boundary == var.permissions_boundary_arn
    error_message = "Roles have the boundary."
  }
}

run "refused" {
  command = plan

  variables {
    name                    = "S"
    cidr                    = "8.8.0.0/16"
    azs                     = ["eu-central-1a", "eu-central-1b"]
    interface_endpoints     = ["everything"]
    readable_buckets        = ["*"]
    flow_log_kms_key_arn    = ""
    flow_log_retention_days = 1
  }

  expect_failures = [
    var.name,
    var.cidr,
    var.azs,
    var.interface_endpoints,
    var.readable_buckets,
    var.flow_log_kms_key_arn,
    var.flow_log_retention_days,
  ]
}
