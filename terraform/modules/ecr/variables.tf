variable "kms_key_arn" {
  description = "Key that encrypts the images."
  type        = string
}

variable "environments" {
  description = "Environments; images with a tag ENVIRONMENT-COMMIT are deployed ones and never removed."
  type        = set(string)

  validation {
    condition     = length(var.environments) > 0 && alltrue([for environment in var.environments : can(regex("^[a-z]+$", environment))])
    error_message = "At least one environment, lower-case letters only."
  }
}

variable "pull_account_ids" {
  description = "Other AWS accounts that may pull, such as that of an environment with its own account."
  type        = set(string)

  validation {
    condition     = alltrue([for id in var.pull_account_ids : can(regex("^[0-9]{12}$", id))])
    error_message = "Account ids have 12 digits."
  }
}

variable "docker_hub_secret_arn" {
  description = "Secret ecr-pullthroughcache/… with the user and access token of a Docker Hub account; null: Docker Hub is not cached."
  type        = string

  validation {
    condition     = var.docker_hub_secret_arn == null || can(regex("^arn:[a-z-]+:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:ecr-pullthroughcache/", var.docker_hub_secret_arn))
    error_message = "ECR accepts only secrets whose name begins with ecr-pullthroughcache/."
  }
}
