variable "context" {
  description = "Of the environment: prefix of names, permissions boundary of roles."
  type        = object({ name = string, permissions_boundary_arn = string })
}

variable "network" {
  description = "As in the environment: the private IPv4 range, three availability zones, and whether one NAT gateway serves all of them: cheaper, but an outage of its zone disconnects the others, too."
  type        = object({ cidr = string, availability_zones = list(string), single_nat_gateway = bool })

  validation {
    condition     = can(cidrhost(var.network.cidr, 0)) && can(regex("^(10|172\\.(1[6-9]|2[0-9]|3[01])|192\\.168)\\..*/(16|17|18|19|20)$", var.network.cidr))
    error_message = "The range is a /16 to /20 of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16."
  }

  validation {
    condition     = !startswith(var.network.cidr, "172.20.")
    error_message = "172.20.0.0/16 is the range of Kubernetes' services."
  }

  validation {
    condition     = length(var.network.availability_zones) == 3 && length(distinct(var.network.availability_zones)) == 3
    error_message = "Three different availability zones."
  }
}

variable "logs" {
  description = "Key that encrypts logs, and their retention in days."
  type        = object({ kms_key_arn = string, retention_days = number })
}
