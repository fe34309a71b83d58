variable "name" {
  description = "Prefix of the aliases, such as shoutback-staging."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,40}$", var.name))
    error_message = "The name is 3 to 41 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "purposes" {
  description = "The purposes, one key per purpose: ecr, eks, logs, sns, state."
  type        = set(string)

  validation {
    condition     = length(var.purposes) > 0 && length(setsubtract(var.purposes, keys(local.uses))) == 0
    error_message = "Purposes are among ${join(", ", keys(local.uses))}."
  }
}
