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

variable "kept_purposes" {
  description = "Purposes whose keys Terraform never destroys."
  type        = set(string)
  default     = []

  validation {
    condition     = length(setsubtract(var.kept_purposes, keys(local.uses))) == 0 && length(setintersection(var.kept_purposes, var.purposes)) == 0
    error_message = "Purposes are among ${join(", ", keys(local.uses))}, and not among var.purposes."
  }
}
