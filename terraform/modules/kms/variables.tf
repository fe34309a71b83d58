variable "name" {
  description = "Prefix of the aliases, such as shoutback-staging."
  type        = string
}

variable "purposes" {
  description = "The purposes, one key per purpose: audit, ecr, eks, logs, sns, state, valkey."
  type        = set(string)

  validation {
    condition     = length(setsubtract(var.purposes, keys(local.uses))) == 0
    error_message = "Purposes are among ${join(", ", keys(local.uses))}."
  }
}
