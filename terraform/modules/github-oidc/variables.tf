variable "name" {
  description = "Prefix of the roles; those of an environment are NAME-ENVIRONMENT-…."
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

  validation {
    condition     = length(var.subject_prefixes) > 0 && alltrue([for prefix in var.subject_prefixes : can(regex("^repo:[A-Za-z0-9_.-]+(@[0-9]+)?/[A-Za-z0-9_.-]+(@[0-9]+)?$", prefix))])
    error_message = "repo:ORG/REPO or repo:ORG@ORGID/REPO@REPOID, without wildcards and without a suffix."
  }
}

variable "branch" {
  description = "The branch from which images are pushed and environments changed."
  type        = string
  default     = "main"

  validation {
    condition     = can(regex("^[A-Za-z0-9._/-]+$", var.branch))
    error_message = "The name of one branch, without wildcards."
  }
}

variable "environments" {
  description = "Environments, each with a role that applies its Terraform in the GitHub environment ENVIRONMENT-terraform."
  type        = set(string)
  default     = ["production", "staging"]

  validation {
    condition     = length(var.environments) > 0 && alltrue([for environment in var.environments : can(regex("^[a-z]+$", environment))])
    error_message = "At least one environment, lower-case letters only."
  }
}

variable "state_bucket_arn" {
  description = "Bucket of Terraform's state; an environment's is at ENVIRONMENT/terraform.tfstate."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:s3:::[a-z0-9.-]+$", var.state_bucket_arn))
    error_message = "The ARN of a bucket."
  }
}

variable "state_kms_key_arn" {
  description = "Key that encrypts the state."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:", var.state_kms_key_arn))
    error_message = "The ARN of a KMS key."
  }
}

variable "repository_arns" {
  description = "Image repositories that may be pushed to."
  type        = set(string)

  validation {
    condition     = length(var.repository_arns) > 0 && alltrue([for arn in var.repository_arns : can(regex("^arn:[a-z-]+:ecr:[a-z0-9-]+:[0-9]{12}:repository/[a-z0-9._/-]+$", arn))])
    error_message = "ARNs of ECR repositories, without wildcards."
  }
}

variable "hosted_zone_arns" {
  description = "DNS zones by environment, with records that its Terraform may change."
  type        = map(set(string))
  default     = {}

  validation {
    condition     = alltrue([for arn in flatten([for arns in values(var.hosted_zone_arns) : tolist(arns)]) : can(regex("^arn:[a-z-]+:route53:::hostedzone/[A-Z0-9]+$", arn))])
    error_message = "ARNs of hosted zones, without wildcards."
  }
}
