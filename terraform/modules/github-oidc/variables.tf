variable "subject_prefixes" {
  description = "The repository in the subject of GitHub's tokens: repo:ORG/REPO, and repo:ORG@ORGID/REPO@REPOID for repositories created since 2026-07-15."
  type        = set(string)

  validation {
    condition     = length(var.subject_prefixes) > 0 && alltrue([for prefix in var.subject_prefixes : can(regex("^repo:[A-Za-z0-9_.-]+(@[0-9]+)?/[A-Za-z0-9_.-]+(@[0-9]+)?$", prefix))])
    error_message = "repo:ORG/REPO or repo:ORG@ORGID/REPO@REPOID, without wildcards and without a suffix."
  }
}

variable "environments" {
  description = "Environments of this account. GitHub's environment ENVIRONMENT-terraform may apply."
  type        = set(string)
}

variable "state" {
  description = "Terraform's state: its bucket, where an environment's is at ENVIRONMENT/terraform.tfstate, and the key that encrypts it."
  type        = object({ bucket_arn = string, kms_key_arn = string })
}

variable "repository_arn" {
  description = "Image repository that may be pushed to."
  type        = string
}

variable "hosted_zone_arns" {
  description = "DNS zones by environment, with records that its pods may change."
  type        = map(set(string))
}
