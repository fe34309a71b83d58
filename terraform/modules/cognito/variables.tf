variable "name" {
  description = "Name of the user pool, such as shoutback-staging."
  type        = string
}

variable "host" {
  description = "Host of the API, on whose /docs people sign in."
  type        = string
}

variable "sign_in" {
  description = "As in the environment: first label of Cognito's host, and its threat protection."
  type        = object({ domain_prefix = string, advanced_security = string })

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.sign_in.domain_prefix)) && !can(regex("aws|amazon|cognito", var.sign_in.domain_prefix))
    error_message = "domain_prefix: lower-case letters, digits and inner hyphens, without the words aws, amazon and cognito."
  }

  validation {
    condition     = contains(["off", "audit", "enforced"], var.sign_in.advanced_security)
    error_message = "advanced_security: off, audit or enforced. The last two need the Plus tier, which costs extra per active user."
  }
}

variable "deletion_protection" {
  description = "Whether the user pool has deletion protection."
  type        = bool
  default     = true
}
