output "vpc_id" {
  description = "The network."
  value       = aws_vpc.this.id
}

output "vpc_cidr" {
  description = "Its range."
  value       = aws_vpc.this.cidr_block
}

output "private_subnet_ids" {
  description = "Subnets of nodes, one per zone."
  value       = [for az in var.network.availability_zones : aws_subnet.private[az].id]

  # So nodes start after their way out exists, and it is removed after them.
  depends_on = [aws_route.by_nat, aws_route_table_association.private, aws_vpc_endpoint.interface, aws_vpc_endpoint.s3]
}

output "nat_gateways" {
  description = "The NAT gateways by zone: id, and address of outbound connections."
  value       = { for az in local.nat_azs : az => { id = aws_nat_gateway.this[az].id, public_ip = aws_eip.nat[az].public_ip } }
}
