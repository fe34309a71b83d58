variable "name" {
  description = "Name of the user pool, such as shoutback-staging."
  type        = string
}

variable "domain_prefix" {
  description = "First label of the sign-in's and the token endpoint's host, unique in its region."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.domain_prefix)) && !can(regex("aws|amazon|cognito", var.domain_prefix))
    error_message = "Lower-case letters, digits and inner hyphens, without the words aws, amazon and cognito."
  }
}

variable "callback_urls" {
  description = "Callback URLs after sign-in, such as https://HOST/docs."
  type        = set(string)

  validation {
    condition     = length(var.callback_urls) > 0 && alltrue([for url in var.callback_urls : can(regex("^(https://[^*#]+|http://localhost(:[0-9]+)?(/[^*#]*)?)$", url))])
    error_message = "At least one URL; https, or http on localhost; no wildcard, no fragment."
  }
}

variable "logout_urls" {
  description = "URLs after sign-out."
  type        = set(string)

  validation {
    condition     = alltrue([for url in var.logout_urls : can(regex("^(https://[^*#]+|http://localhost(:[0-9]+)?(/[^*#]*)?)$", url))])
    error_message = "URLs with https, or http on localhost; no wildcard, no fragment."
  }
}

variable "advanced_security" {
  description = "Cognito's threat protection: off, audit or enforced. The last two need the Plus tier, which costs extra per active user."
  type        = string

  validation {
    condition     = contains(["off", "audit", "enforced"], var.advanced_security)
    error_message = "off, audit or enforced."
  }
}

variable "deletion_protection" {
  description = "Whether the user pool has deletion protection."
  type        = bool
  default     = true
}
