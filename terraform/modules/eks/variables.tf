variable "context" {
  description = "Of the environment: name of the cluster and prefix of its roles, permissions boundary of roles."
  type        = object({ name = string, permissions_boundary_arn = string })
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

variable "access" {
  description = "As `cluster` of the environment: ranges from which people (public) and a VPN (private) reach the API server, IAM roles of the teams' groups, and administrators."
  type = object({
    public_cidrs              = list(string)
    private_cidrs             = list(string)
    team_role_arns            = map(set(string))
    bootstrap_admin_role_arns = set(string)
  })

  validation {
    condition     = alltrue([for cidr in var.access.public_cidrs : can(cidrhost(cidr, 0)) && try(tonumber(split("/", cidr)[1]) >= 16, false)])
    error_message = "public_cidrs: IPv4 ranges of /16 or narrower: the API server is never open to the world."
  }

  validation {
    condition     = alltrue([for cidr in var.access.private_cidrs : can(cidrhost(cidr, 0)) && can(regex("^(10|172\\.(1[6-9]|2[0-9]|3[01])|192\\.168)\\.", cidr))])
    error_message = "private_cidrs: private IPv4 ranges."
  }

  validation {
    condition     = length(setsubtract(keys(var.access.team_role_arns), local.team_groups)) == 0
    error_message = "team_role_arns: groups are ${join(", ", local.team_groups)}."
  }

  validation {
    condition     = alltrue([for arn in concat(flatten([for arns in values(var.access.team_role_arns) : tolist(arns)]), tolist(var.access.bootstrap_admin_role_arns)) : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+$", arn))])
    error_message = "ARNs of IAM roles: no users, no account roots, no wildcards."
  }

  validation {
    condition     = length(setintersection(var.access.bootstrap_admin_role_arns, flatten([for arns in values(var.access.team_role_arns) : tolist(arns)]))) == 0
    error_message = "A role is either a team's or an administrator's: EKS permits one entry per role."
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

variable "deletion_protection" {
  description = "Whether the cluster has deletion protection."
  type        = bool
  default     = true
}
