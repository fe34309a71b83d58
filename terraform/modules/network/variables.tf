variable "name" {
  description = "Prefix of names, such as shoutback-staging."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,40}$", var.name))
    error_message = "The name is 3 to 41 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "cidr" {
  description = "The network's private IPv4 range, a /16 to /20."
  type        = string

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && can(regex("^(10|172\\.(1[6-9]|2[0-9]|3[01])|192\\.168)\\..*/(16|17|18|19|20)$", var.cidr))
    error_message = "The range is a /16 to /20 of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16."
  }
}

variable "azs" {
  description = "The three availability zones."
  type        = list(string)

  validation {
    condition     = length(var.azs) == 3 && length(distinct(var.azs)) == 3
    error_message = "Three different availability zones."
  }
}

variable "single_nat_gateway" {
  description = "One NAT gateway for all zones: cheaper, but an outage of its zone disconnects the others, too."
  type        = bool
  default     = false
}

variable "interface_endpoints" {
  description = "AWS services with interface endpoints: ecr.api, ecr.dkr, logs, sts."
  type        = set(string)
  default     = ["ecr.api", "ecr.dkr", "logs", "sts"]

  validation {
    condition     = length(setsubtract(var.interface_endpoints, keys(local.endpoint_actions))) == 0
    error_message = "Endpoints are among ${join(", ", keys(local.endpoint_actions))}."
  }
}

variable "readable_buckets" {
  description = "Buckets that the S3 endpoint permits to read, besides those of ECR's and Kubernetes' images."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for bucket in var.readable_buckets : can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", bucket))])
    error_message = "Names of buckets, without wildcards."
  }
}

variable "flow_log_kms_key_arn" {
  description = "Key that encrypts the flow logs."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:", var.flow_log_kms_key_arn))
    error_message = "The ARN of a KMS key."
  }
}

variable "flow_log_retention_days" {
  description = "Retention of flow logs in days."
  type        = number
  default     = 365

  validation {
    condition     = contains([30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.flow_log_retention_days)
    error_message = "One of CloudWatch's retentions from 30 days to 2 years: 30, 60, 90, 120, 150, 180, 365, 400, 545, 731."
  }
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of the role that writes flow logs."
  type        = string
  default     = null
}
