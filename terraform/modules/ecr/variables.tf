variable "name" {
  description = "Name of the repository."
  type        = string
  default     = "shoutback"

  validation {
    condition     = can(regex("^[a-z0-9]+([._/-][a-z0-9]+)*$", var.name)) && length(var.name) >= 2
    error_message = "A repository's name: lower-case letters and digits, separated by single . _ - or /."
  }
}

variable "kms_key_arn" {
  description = "Key that encrypts the images."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:", var.kms_key_arn))
    error_message = "The ARN of a KMS key."
  }
}

variable "environments" {
  description = "Environments; images with a tag ENVIRONMENT-COMMIT are deployed ones and never removed."
  type        = set(string)
  default     = ["production", "staging"]

  validation {
    condition     = length(var.environments) > 0 && alltrue([for environment in var.environments : can(regex("^[a-z]+$", environment))])
    error_message = "At least one environment, lower-case letters only."
  }
}

variable "keep_undeployed" {
  description = "Number of tagged images that were never deployed to retain, the newest ones; null retains all."
  type        = number
  default     = 500

  validation {
    condition     = var.keep_undeployed == null || try(var.keep_undeployed >= 50, false)
    error_message = "50 or more, or null: an image between its push and its deployment must not be removed."
  }
}

variable "pull_account_ids" {
  description = "Other AWS accounts that may pull, such as that of an environment with its own account."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for id in var.pull_account_ids : can(regex("^[0-9]{12}$", id))])
    error_message = "Account ids have 12 digits."
  }
}
