variable "name" {
  description = "Prefix of names, such as shoutback-staging."
  type        = string
}

variable "cluster" {
  description = "The cluster of the pods: name and ARN."
  type        = object({ name = string, arn = string })
}

variable "zone" {
  description = "Name of the public Route 53 zone of the host."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,}$", var.zone))
    error_message = "A domain in lower case, without a dot at its end."
  }
}

variable "host" {
  description = "Host of the API."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,}$", var.host)) && (var.host == var.zone || endswith(var.host, ".${var.zone}"))
    error_message = "A host of the zone in lower case, such as api.shoutback.example.com: no wildcard, no dot at its end."
  }
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of the roles that are created here."
  type        = string
}
