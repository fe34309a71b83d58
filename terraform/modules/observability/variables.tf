variable "name" {
  description = "Prefix of names, such as shoutback-staging."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,40}$", var.name))
    error_message = "The name is 3 to 41 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "environment" {
  description = "The collector's ENVIRONMENT, which every query selects; also the prefix of every alarm's name, before a hyphen."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+$", var.environment))
    error_message = "Lower-case letters only."
  }
}

variable "cluster_name" {
  description = "The cluster of the CloudWatch add-on. It must have nodes, or the add-on never becomes active."
  type        = string
}

variable "cluster_arn" {
  description = "Its ARN, which the roles trust."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:eks:[a-z0-9-]+:[0-9]{12}:cluster/[A-Za-z0-9-]+$", var.cluster_arn))
    error_message = "The ARN of a cluster."
  }
}

variable "logs_kms_key_arn" {
  description = "Key that encrypts the logs."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:", var.logs_kms_key_arn))
    error_message = "The ARN of a KMS key."
  }
}

variable "sns_kms_key_arn" {
  description = "Key that encrypts messages of the topics; CloudWatch must have permission to use it."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:", var.sns_kms_key_arn))
    error_message = "The ARN of a KMS key."
  }
}

variable "log_retention_days" {
  description = "Retention of logs in days."
  type        = number
  default     = 90

  validation {
    condition     = contains([30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "One of CloudWatch's retentions from 30 days to 2 years: 30, 60, 90, 120, 150, 180, 365, 400, 545, 731."
  }
}

variable "runbook_base_url" {
  description = "URL of docs/operations.md without a trailing slash, for links in alarms."
  type        = string

  validation {
    condition     = can(regex("^https://[^ ]*[^ /]$", var.runbook_base_url))
    error_message = "An https URL without a slash at its end."
  }
}

variable "page_subscriptions" {
  description = "Subscriptions to pages, by any name: protocol (email or https) and endpoint."
  type        = map(object({ protocol = string, endpoint = string }))
  sensitive   = true

  validation {
    condition     = length(var.page_subscriptions) > 0
    error_message = "At least one, or pages have no recipient."
  }

  validation {
    condition = alltrue([
      for subscription in values(var.page_subscriptions) :
      can(regex({ email = "^[^@ ]+@[^@ ]+$", https = "^https://[^ ]+$" }[subscription.protocol], subscription.endpoint))
    ])
    error_message = "Protocol email with an address, or https with an https URL."
  }
}

variable "ticket_subscriptions" {
  description = "Subscriptions to tickets, in the same form."
  type        = map(object({ protocol = string, endpoint = string }))
  sensitive   = true

  validation {
    condition     = length(var.ticket_subscriptions) > 0
    error_message = "At least one, or tickets have no recipient."
  }

  validation {
    condition = alltrue([
      for subscription in values(var.ticket_subscriptions) :
      can(regex({ email = "^[^@ ]+@[^@ ]+$", https = "^https://[^ ]+$" }[subscription.protocol], subscription.endpoint))
    ])
    error_message = "Protocol email with an address, or https with an https URL."
  }
}

variable "addon_version" {
  description = "Version of the add-on amazon-cloudwatch-observability, which aws eks describe-addon-versions lists."
  type        = string

  validation {
    condition     = can(regex("^v[0-9]+\\.[0-9]+\\.[0-9]+-eksbuild\\.[0-9]+$", var.addon_version))
    error_message = "A complete version such as v4.1.0-eksbuild.1."
  }
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of the roles that are created here."
  type        = string
  default     = null
}
