variable "context" {
  description = "Of the environment: prefix of names, also name of the cluster; the collector's ENVIRONMENT, which every query selects, also prefix of every alarm's name; URL of docs/ for links in alarms; permissions boundary of roles."
  type = object({
    name                     = string
    environment              = string
    runbook_base_url         = string
    permissions_boundary_arn = string
  })

  validation {
    condition     = can(regex("^https://[^ ]*[^ /]$", var.context.runbook_base_url))
    error_message = "runbook_base_url: an https URL without a slash at its end."
  }
}

variable "cluster" {
  description = "The cluster: name and ARN. It must be able to start nodes, or the CloudWatch add-on never becomes active."
  type        = object({ name = string, arn = string })
}

variable "nat_gateways" {
  description = "The NAT gateways by zone, with their ids."
  type        = map(object({ id = string }))
}

variable "logs" {
  description = "Key that encrypts logs, and their retention in days."
  type        = object({ kms_key_arn = string, retention_days = number })
}

variable "sns_kms_key_arn" {
  description = "Key that encrypts messages of the topics; CloudWatch must have permission to use it."
  type        = string
}

variable "subscriptions" {
  description = "Subscriptions to the topics page and ticket, by any name: protocol (email or https) and endpoint."
  type        = object({ page = map(object({ protocol = string, endpoint = string })), ticket = map(object({ protocol = string, endpoint = string })) })
  sensitive   = true

  validation {
    condition     = alltrue([for subscriptions in values(var.subscriptions) : length(subscriptions) > 0])
    error_message = "At least one each, or messages have no recipient."
  }

  validation {
    condition = alltrue([
      for subscription in flatten([for subscriptions in values(var.subscriptions) : values(subscriptions)]) :
      can(regex({ email = "^[^@ ]+@[^@ ]+$", https = "^https://[^ ]+$" }[subscription.protocol], subscription.endpoint))
    ])
    error_message = "Protocol email with an address, or https with an https URL."
  }
}

variable "cloudwatch_addon_version" {
  description = "Version of the add-on amazon-cloudwatch-observability, which aws eks describe-addon-versions lists."
  type        = string

  # AWS rejects a configuration that the add-on's version does not know: `applicationSignals` of the chart exists since 6.2.0.
  validation {
    condition     = can(regex("^v[0-9]+\\.[0-9]+\\.[0-9]+-eksbuild\\.[0-9]+$", var.cloudwatch_addon_version)) && try(tonumber(regex("^v([0-9]+)\\.", var.cloudwatch_addon_version)[0]) * 1000 + tonumber(regex("^v[0-9]+\\.([0-9]+)", var.cloudwatch_addon_version)[0]) >= 6002, false)
    error_message = "A complete version such as v6.2.0-eksbuild.1, not older than 6.2.0."
  }
}
