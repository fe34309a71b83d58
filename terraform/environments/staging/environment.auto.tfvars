# The values that differ from production's by design. docs/deploy.md explains each.
environment        = "staging"
network_cidr       = "10.20.0.0/16"
single_nat_gateway = true
nodes              = { min_size = 4, desired_size = 5, max_size = 6 }
log_retention_days = 30
