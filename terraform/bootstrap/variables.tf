variable "account_id" {
  description = "The account; in another one the plan fails."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "Account ids have 12 digits."
  }
}

variable "region" {
  description = "Region of state, registry and environments."
  type        = string
}

variable "subject_prefixes" {
  description = "The repository in the subject of GitHub's tokens: repo:ORG/REPO, and repo:ORG@ORGID/REPO@REPOID for repositories created since 2026-07-15."
  type        = set(string)
}

variable "environments" {
  description = "Environments whose Terraform is applied in this account."
  type        = set(string)
  default     = ["production", "staging"]
}

variable "zones" {
  description = "DNS zones to create by environment, such as staging.shoutback.example.com."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(setsubtract(keys(var.zones), var.environments)) == 0
    error_message = "Zones are keyed by one of the environments."
  }

  # A new zone for example.com would have none of the records of the domain: once it is delegated, its mail and web sites are gone.
  validation {
    condition     = alltrue([for zone in values(var.zones) : can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.){2,}[a-z]{2,}$", zone))])
    error_message = "Names below a domain, in lower case, without a dot at the end. The zone of a domain in use goes into hosted_zone_arns."
  }
}

variable "hosted_zone_arns" {
  description = "Existing DNS zones by environment, with records that its pods may change."
  type        = map(set(string))
  default     = {}

  validation {
    condition     = length(setsubtract(keys(var.hosted_zone_arns), var.environments)) == 0
    error_message = "Zones are keyed by one of the environments."
  }
}

variable "pull_account_ids" {
  description = "Other AWS accounts that may pull images, such as that of an environment with its own account."
  type        = set(string)
  default     = []
}

variable "docker_hub_secret_arn" {
  description = "Secret ecr-pullthroughcache/… with a Docker Hub account, to cache its images; null: they are not cached."
  type        = string
  default     = null
}

variable "transaction_search" {
  description = "Whether to enable X-Ray's Transaction Search for the account: without it, X-Ray accepts no spans by OTLP."
  type        = bool
  default     = true
}

variable "guard_rails" {
  description = "Address that guard rails notify; budget in US dollars a month; the break-glass role; and what the account has already: trail and guardduty = false, and the ARN of its anomaly monitor."
  type = object({
    email                = string
    monthly_budget       = number
    break_glass_role_arn = optional(string)
    trail                = optional(bool, true)
    guardduty            = optional(bool, true)
    anomaly_monitor_arn  = optional(string)
  })
}
