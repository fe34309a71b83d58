# Other validations are in the modules.

variable "environment" {
  description = "staging or production."
  type        = string

  validation {
    condition     = contains(["staging", "production"], var.environment)
    error_message = "staging or production."
  }
}

variable "region" {
  description = "Region of everything."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "A region such as eu-central-1."
  }
}

variable "account_id" {
  description = "The account; in another one the plan fails."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "Account ids have 12 digits."
  }
}

variable "permissions_boundary_arn" {
  description = "The bootstrap's permissions_boundary_arns of this environment: the apply role cannot create roles without it."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:iam::[0-9]{12}:policy/[a-z0-9-]+-${var.environment}-boundary$", var.permissions_boundary_arn))
    error_message = "The ARN of this environment's boundary."
  }
}

variable "repository_url" {
  description = "The bootstrap's repository_url, from which images are pulled."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}\\.dkr\\.ecr\\.[a-z0-9-]+\\.amazonaws\\.com(\\.cn)?/[a-z0-9._/-]+$", var.repository_url))
    error_message = "ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY."
  }
}

variable "network_cidr" {
  description = "The network's private IPv4 range."
  type        = string
}

variable "zones" {
  description = "The three availability zones."
  type        = list(string)

  validation {
    condition     = alltrue([for zone in var.zones : startswith(zone, var.region)])
    error_message = "Zones of the region."
  }
}

variable "single_nat_gateway" {
  description = "One NAT gateway for all zones, instead of one in each."
  type        = bool
}

variable "kubernetes_version" {
  description = "Kubernetes' minor version."
  type        = string
  default     = "1.36"
}

variable "nodes" {
  description = "The nodes: instance types, how many, and their disks in GiB."
  type = object({
    instance_types = optional(list(string), ["t3.medium"])
    min_size       = number
    max_size       = number
    desired_size   = number
    disk_size      = optional(number, 30)
  })
}

variable "addon_versions" {
  description = "Versions of the cluster's add-ons, as aws eks describe-addon-versions lists them; ebs_csi_driver is for Elasticsearch's and Prometheus' volumes."
  type = object({
    coredns                = string
    ebs_csi_driver         = string
    eks_pod_identity_agent = string
    kube_proxy             = string
    vpc_cni                = string
  })
}

variable "cloudwatch_addon_version" {
  description = "Version of the add-on amazon-cloudwatch-observability."
  type        = string
}

variable "api_server_cidrs" {
  description = "Ranges from which people reach the API server; empty: only from inside the network."
  type        = list(string)
  default     = []
}

variable "api_server_private_cidrs" {
  description = "Ranges besides the nodes that reach the API server inside the network, such as that of a VPN."
  type        = list(string)
  default     = []
}

variable "team_role_arns" {
  description = "IAM roles of the people in each team's group."
  type        = map(set(string))
  default     = {}
}

variable "bootstrap_admin_role_arns" {
  description = "IAM roles that are administrators of the cluster for the first installation; empty afterwards."
  type        = set(string)
  default     = []
}

variable "sign_in_prefix" {
  description = "First label of Cognito's host, unique in its region."
  type        = string
}

variable "advanced_security" {
  description = "Cognito's threat protection: off, audit or enforced; the last two cost extra."
  type        = string
  default     = "off"
}

variable "zone_id" {
  description = "The Route 53 zone of the host: the bootstrap's zones of this environment."
  type        = string
}

variable "host" {
  description = "Host of the API."
  type        = string
}

variable "runbook_base_url" {
  description = "URL of docs/, without a trailing slash."
  type        = string
}

variable "log_retention_days" {
  description = "Retention of all logs in days."
  type        = number
}

variable "page_subscriptions" {
  description = "Subscriptions to pages, by any name: protocol (email or https) and endpoint."
  type        = map(object({ protocol = string, endpoint = string }))
  sensitive   = true
}

variable "ticket_subscriptions" {
  description = "Subscriptions to tickets, in the same form."
  type        = map(object({ protocol = string, endpoint = string }))
  sensitive   = true
}

variable "deletion_protection" {
  description = "Whether cluster and user pool have deletion protection."
  type        = bool
  default     = true
}
