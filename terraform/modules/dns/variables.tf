variable "context" {
  description = "Of the environment: prefix of names, permissions boundary of roles."
  type        = object({ name = string, permissions_boundary_arn = string })
}

variable "cluster" {
  description = "The cluster of the pods: name and ARN."
  type        = object({ name = string, arn = string })
}

variable "dns" {
  description = "As in the environment: name of the public Route 53 zone, and the hosts in it: of the API, and of the web interfaces of the cluster."
  type        = object({ zone = string, host = string, tools_host = string })

  validation {
    condition     = alltrue([for name in values(var.dns) : can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,}$", name))])
    error_message = "Names in lower case: no wildcard, no dot at their end."
  }

  validation {
    condition     = alltrue([for host in [var.dns.host, var.dns.tools_host] : host == var.dns.zone || endswith(host, ".${var.dns.zone}")])
    error_message = "A host is not in this zone."
  }
}
