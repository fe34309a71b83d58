mock_provider "aws" {
  source          = "../../testing/aws"
  override_during = plan
}

variables {
  context = {
    name                     = "shoutback-production"
    permissions_boundary_arn = "arn:aws:iam::111122223333:policy/shoutback-production-boundary"
  }
  logs    = { kms_key_arn = "arn:aws:kms:us-east-2:111122223333:key/00000000-0000-0000-0000-000000000000", retention_days = 365 }
  network = { cidr = "10.30.0.0/16", availability_zones = ["us-east-2a", "us-east-2b", "us-east-2c"], single_nat_gateway = false }
}

run "one_nat" {
  command = plan

  variables {
    network = { cidr = "10.30.0.0/16", availability_zones = ["us-east-2a", "us-east-2b", "us-east-2c"], single_nat_gateway = true }
  }

  assert {
    condition     = length(output.private_subnet_ids) == 3 && keys(output.nat_gateways) == ["us-east-2a"]
    error_message = "One private subnet per zone, and one NAT gateway."
  }
}

run "nat_per_zone" {
  command = plan

  assert {
    condition     = length(aws_nat_gateway.this) == 3 && length(output.nat_gateways) == 3
    error_message = "One NAT gateway per zone."
  }

  assert {
    condition = alltrue([
      for az in var.network.availability_zones : aws_route.by_nat[az].nat_gateway_id == aws_nat_gateway.this[az].id && aws_nat_gateway.this[az].subnet_id == aws_subnet.public[az].id
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
    condition     = toset([for endpoint in aws_vpc_endpoint.interface : endpoint.service_name]) == toset([for service in ["ecr.api", "ecr.dkr", "logs", "sts"] : "com.amazonaws.us-east-2.${service}"])
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
    condition     = aws_iam_role.flow_logs.permissions_boundary == var.context.permissions_boundary_arn
    error_message = "Roles have the boundary."
  }
}

run "refused_as_public" {
  command = plan

  variables {
    network = { cidr = "8.8.0.0/16", availability_zones = ["us-east-2a", "us-east-2b", "us-east-2c"], single_nat_gateway = false }
  }

  expect_failures = [var.network]
}

run "refused_as_the_range_of_services" {
  command = plan

  variables {
    network = { cidr = "172.20.0.0/16", availability_zones = ["us-east-2a", "us-east-2b", "us-east-2c"], single_nat_gateway = false }
  }

  expect_failures = [var.network]
}

run "refused_with_two_zones" {
  command = plan

  variables {
    network = { cidr = "10.30.0.0/16", availability_zones = ["us-east-2a", "us-east-2b"], single_nat_gateway = false }
  }

  expect_failures = [var.network]
}
