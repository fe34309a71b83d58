variable "name" {
  description = "Name of the cluster and prefix of its roles, such as shoutback-staging."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,40}$", var.name))
    error_message = "The name is 3 to 41 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "kubernetes_version" {
  description = "Kubernetes' minor version."
  type        = string
  default     = "1.36"

  validation {
    condition     = can(regex("^1\\.[0-9]{2}$", var.kubernetes_version)) && try(tonumber(split(".", var.kubernetes_version)[1]) >= 35, false)
    error_message = "A minor version such as 1.36, not older than 1.35."
  }
}

variable "subnet_ids" {
  description = "Private subnets of nodes and control plane, in at least two zones."
  type        = list(string)

  validation {
    condition     = length(distinct(var.subnet_ids)) >= 2
    error_message = "At least two subnets."
  }
}

variable "endpoint_public_access_cidrs" {
  description = "Ranges that reach the API server from outside; empty: none, and it has no public endpoint."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.endpoint_public_access_cidrs : can(cidrhost(cidr, 0)) && try(tonumber(split("/", cidr)[1]) >= 16, false)])
    error_message = "IPv4 ranges of /16 or narrower: the API server is never open to the world."
  }
}

variable "endpoint_private_access_cidrs" {
  description = "Ranges besides the nodes that reach the API server inside the network, such as that of a VPN."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.endpoint_private_access_cidrs : can(cidrhost(cidr, 0)) && can(regex("^(10|172\\.(1[6-9]|2[0-9]|3[01])|192\\.168)\\.", cidr))])
    error_message = "Private IPv4 ranges."
  }
}

variable "kms_key_arn" {
  description = "Key that encrypts Kubernetes' secrets."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:", var.kms_key_arn))
    error_message = "The ARN of a KMS key."
  }
}

variable "logs_kms_key_arn" {
  description = "Key that encrypts the control plane's logs."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:", var.logs_kms_key_arn))
    error_message = "The ARN of a KMS key."
  }
}

variable "log_retention_days" {
  description = "Retention of the control plane's logs in days."
  type        = number
  default     = 365

  validation {
    condition     = contains([30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "One of CloudWatch's retentions from 30 days to 2 years: 30, 60, 90, 120, 150, 180, 365, 400, 545, 731."
  }
}

variable "node_group" {
  description = "The nodes: instance types, how many, and their disks in GiB."
  type = object({
    instance_types = optional(list(string), ["t3.medium"])
    min_size       = optional(number, 3)
    max_size       = optional(number, 6)
    desired_size   = optional(number, 3)
    disk_size      = optional(number, 30)
  })
  default = {}

  validation {
    condition = (
      var.node_group.min_size >= 1 &&
      var.node_group.min_size <= var.node_group.desired_size &&
      var.node_group.desired_size <= var.node_group.max_size
    )
    error_message = "1 <= min_size <= desired_size <= max_size."
  }

  validation {
    condition     = length(var.node_group.instance_types) > 0 && var.node_group.disk_size >= 20
    error_message = "At least one instance type, and disks of 20 GiB or more."
  }
}

variable "addon_versions" {
  description = "Versions of the add-ons, such as v1.20.4-eksbuild.2, which aws eks describe-addon-versions lists; without one for ebs_csi_driver, pods get no volumes of EBS."
  type = object({
    coredns                = string
    ebs_csi_driver         = optional(string)
    eks_pod_identity_agent = string
    kube_proxy             = string
    vpc_cni                = string
  })

  validation {
    condition     = alltrue([for version in values(var.addon_versions) : can(regex("^v[0-9]+\\.[0-9]+\\.[0-9]+-eksbuild\\.[0-9]+$", version)) if version != null])
    error_message = "Complete versions such as v1.20.4-eksbuild.2."
  }
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
  description = "IAM roles that are administrators for the first installation; empty afterwards."
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
  default     = null
}
