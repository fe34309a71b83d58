# Further validations are in the modules.

variable "environment" {
  description = "Name of the environment: staging, production, or that of a throw-away one."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2,12}$", var.environment))
    error_message = "2 to 12 lower-case letters."
  }
}

variable "account" {
  description = "The account, in another one the plan fails; its region; and the account of the image registry, if it is another one."
  type = object({
    id                  = string
    region              = string
    registry_account_id = optional(string)
  })

  validation {
    condition     = alltrue([for id in [var.account.id, coalesce(var.account.registry_account_id, var.account.id)] : can(regex("^[0-9]{12}$", id))])
    error_message = "Account ids have 12 digits."
  }

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.account.region))
    error_message = "A region such as us-east-2."
  }
}

variable "network" {
  description = "The private IPv4 range, three availability zones, and whether one NAT gateway serves all of them."
  type = object({
    cidr               = string
    availability_zones = list(string)
    single_nat_gateway = bool
  })

  validation {
    condition     = alltrue([for zone in var.network.availability_zones : startswith(zone, var.account.region)])
    error_message = "Availability zones of the region."
  }
}

variable "cluster" {
  description = "Versions; ranges from which people (public) and a VPN (private) reach the API server; IAM roles of the teams' groups; IAM roles that are administrators for the first installation and for the deletion."
  type = object({
    kubernetes_version        = string
    cloudwatch_addon_version  = string
    public_cidrs              = optional(list(string), [])
    private_cidrs             = optional(list(string), [])
    team_role_arns            = optional(map(set(string)), {})
    bootstrap_admin_role_arns = optional(set(string), [])
  })
}

variable "dns" {
  description = "The public Route 53 zone, and the hosts in it: of the API, and of the web interfaces of the cluster."
  type        = object({ zone = string, host = string, tools_host = string })
}

variable "sign_in" {
  description = "First label of Cognito's host, unique in its region; Cognito's threat protection: off, audit or enforced, of which the last two cost extra."
  type = object({
    domain_prefix     = string
    advanced_security = optional(string, "off")
  })
}

variable "valkey" {
  description = "A store that all replicas share: version, type of its two nodes, version of the add-on that mounts its password. null: none."
  type = object({
    engine_version        = string
    node_type             = optional(string, "cache.t4g.micro")
    secrets_addon_version = string
  })
  default = null
}

variable "log_retention_days" {
  description = "Retention of all logs in days."
  type        = number

  validation {
    condition     = contains([30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "One of CloudWatch's retentions from 30 days to 2 years: 30, 60, 90, 120, 150, 180, 365, 400, 545, 731."
  }
}

variable "runbook_base_url" {
  description = "URL of docs/, without a trailing slash."
  type        = string
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
