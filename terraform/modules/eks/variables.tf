variable "name" {
  description = "Name of the cluster and prefix of its roles, such as shoutback-staging."
  type        = string
}

variable "kubernetes_version" {
  description = "Kubernetes' minor version. It can be raised by one at a time, and never lowered."
  type        = string

  validation {
    condition     = can(regex("^1\\.[0-9]{2}$", var.kubernetes_version)) && try(tonumber(split(".", var.kubernetes_version)[1]) >= 35, false)
    error_message = "A minor version such as 1.36, not older than 1.35."
  }
}

variable "subnet_ids" {
  description = "Private subnets of nodes and control plane."
  type        = list(string)
}

variable "public_cidrs" {
  description = "Ranges that reach the API server from outside; empty: none, and it has no public endpoint."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.public_cidrs : can(cidrhost(cidr, 0)) && try(tonumber(split("/", cidr)[1]) >= 16, false)])
    error_message = "IPv4 ranges of /16 or narrower: the API server is never open to the world."
  }
}

variable "private_cidrs" {
  description = "Ranges besides the nodes that reach the API server inside the network, such as that of a VPN."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.private_cidrs : can(cidrhost(cidr, 0)) && can(regex("^(10|172\\.(1[6-9]|2[0-9]|3[01])|192\\.168)\\.", cidr))])
    error_message = "Private IPv4 ranges."
  }
}

variable "kms_key_arn" {
  description = "Key that encrypts Kubernetes' secrets."
  type        = string
}

variable "logs" {
  description = "Key that encrypts logs, and their retention in days."
  type        = object({ kms_key_arn = string, retention_days = number })
}

variable "image_cache_prefixes" {
  description = "Prefixes of the repositories of the registry's pull-through cache."
  type        = set(string)
}

variable "team_role_arns" {
  description = "IAM roles of the people in each team's group, by the group."
  type        = map(set(string))
  default     = {}

  validation {
    condition     = length(setsubtract(keys(var.team_role_arns), local.team_groups)) == 0
    error_message = "Groups are ${join(", ", local.team_groups)}."
  }

  validation {
    condition     = alltrue([for arn in flatten([for arns in values(var.team_role_arns) : tolist(arns)]) : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+$", arn))])
    error_message = "ARNs of IAM roles: no users, no account roots, no wildcards."
  }
}

variable "bootstrap_admin_role_arns" {
  description = "IAM roles that are administrators for the first installation and for the deletion; empty otherwise."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.bootstrap_admin_role_arns : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+$", arn))])
    error_message = "ARNs of IAM roles: no users, no account roots, no wildcards."
  }

  validation {
    condition     = length(setintersection(var.bootstrap_admin_role_arns, flatten([for arns in values(var.team_role_arns) : tolist(arns)]))) == 0
    error_message = "A role is either a team's or the first installation's: EKS permits one entry per role."
  }
}

variable "deletion_protection" {
  description = "Whether the cluster has deletion protection."
  type        = bool
  default     = true
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of the roles that are created here."
  type        = string
}
