variable "environment" {
  description = "The environment: its names begin with shoutback-ENVIRONMENT, and its resources have the tag environment."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2,12}$", var.environment)) && var.environment != "bootstrap"
    error_message = "2 to 12 lower-case letters, and not bootstrap."
  }
}

variable "other_environments" {
  description = "Other environments of this account, whose resources the roles cannot touch."
  type        = list(string)
}

variable "trust" {
  description = "Trust policies of the roles apply and plan, as JSON."
  type        = object({ apply = string, plan = string })
}

variable "state" {
  description = "Terraform's state: its bucket, where an environment's is at ENVIRONMENT/terraform.tfstate, and the key that encrypts it."
  type        = object({ bucket_arn = string, kms_key_arn = string })
}

variable "hosted_zone_arns" {
  description = "DNS zones whose records the environment's pods may change."
  type        = set(string)

  validation {
    condition     = alltrue([for arn in var.hosted_zone_arns : can(regex("^arn:[a-z-]+:route53:::hostedzone/[A-Z0-9]+$", arn))])
    error_message = "ARNs of hosted zones, without wildcards."
  }
}
