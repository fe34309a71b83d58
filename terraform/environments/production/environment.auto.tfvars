# The values that differ from staging's by design. docs/deploy.md explains each.
environment        = "production"
network_cidr       = "10.30.0.0/16"
single_nat_gateway = false
nodes              = { min_size = 6, desired_size = 8, max_size = 12 }
log_retention_days = 365
