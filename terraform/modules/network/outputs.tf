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
  value       = [for az in var.azs : aws_subnet.private[az].id]
}

output "public_subnet_ids" {
  description = "Subnets of load balancers and NAT gateways, one per zone."
  value       = [for az in var.azs : aws_subnet.public[az].id]
}

output "nat_public_ips" {
  description = "Addresses of outbound connections."
  value       = [for az in local.nat_azs : aws_eip.nat[az].public_ip]
}
