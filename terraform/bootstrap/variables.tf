variable "region" {
  description = "Region of state, registry and environments."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "A region such as eu-central-1."
  }
}

variable "name" {
  description = "Name of the image repository and prefix of all names; those of an environment begin with NAME-ENVIRONMENT."
  type        = string
  default     = "shoutback"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,20}$", var.name))
    error_message = "The name is 3 to 21 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "subject_prefixes" {
  description = "The repository in the subject of GitHub's tokens: repo:ORG/REPO, and repo:ORG@ORGID/REPO@REPOID for repositories created since 2026-07-15."
  type        = set(string)
}

variable "branch" {
  description = "The branch from which images are pushed and environments changed."
  type        = string
  default     = "main"
}

variable "environments" {
  description = "GitHub's environments whose Terraform is applied in this account."
  type        = set(string)
  default     = ["production", "staging"]
}

variable "zones" {
  description = "DNS zones to create by environment, such as staging.example.com."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(setsubtract(keys(var.zones), var.environments)) == 0
    error_message = "Zones are keyed by one of the environments."
  }

  validation {
    condition     = alltrue([for zone in values(var.zones) : can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,}$", zone))])
    error_message = "Names of domains in lower case, without a dot at the end."
  }
}

variable "hosted_zone_arns" {
  description = "Existing DNS zones by environment, with records that its Terraform and its pods may change."
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

variable "state_bucket" {
  description = "Name of the state's bucket; null: NAME-terraform-ACCOUNT."
  type        = string
  default     = null

  validation {
    condition     = var.state_bucket == null || can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.state_bucket))
    error_message = "A bucket's name: 3 to 63 lower-case letters, digits and hyphens."
  }
}

variable "transaction_search" {
  description = "Whether to enable X-Ray's Transaction Search for the account: without it, X-Ray accepts no spans by OTLP."
  type        = bool
  default     = true
}
