variable "name" {
  description = "Name of the user pool, such as shoutback-staging."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,40}$", var.name))
    error_message = "The name is 3 to 41 lower-case letters, digits and hyphens, and begins with a letter."
  }
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
  default     = []

  validation {
    condition     = alltrue([for url in var.logout_urls : can(regex("^(https://[^*#]+|http://localhost(:[0-9]+)?(/[^*#]*)?)$", url))])
    error_message = "URLs with https, or http on localhost; no wildcard, no fragment."
  }
}

variable "advanced_security" {
  description = "Cognito's threat protection: off, audit or enforced. The last two need the Plus tier, which costs extra per active user."
  type        = string
  default     = "off"

  validation {
    condition     = contains(["off", "audit", "enforced"], var.advanced_security)
    error_message = "off, audit or enforced."
  }
}

variable "mfa" {
  description = "Whether people need a second factor (a one-time password of an app): on or optional."
  type        = string
  default     = "on"

  validation {
    condition     = contains(["on", "optional"], var.mfa)
    error_message = "on or optional."
  }
}

variable "groups" {
  description = "Groups of people and their precedence; AUTH_ALLOWED_GROUPS may require one."
  type        = map(number)
  default     = { shouters = 10 }

  validation {
    condition     = alltrue([for name, precedence in var.groups : can(regex("^[a-z][a-z0-9-]{0,63}$", name)) && precedence >= 0])
    error_message = "Names of lower-case letters, digits and hyphens; precedence 0 or more."
  }
}

variable "access_token_minutes" {
  description = "Lifetime of access tokens."
  type        = number
  default     = 60

  validation {
    condition     = var.access_token_minutes >= 5 && var.access_token_minutes <= 60
    error_message = "5 to 60 minutes."
  }
}

variable "deletion_protection" {
  description = "Whether the user pool has deletion protection."
  type        = bool
  default     = true
}
