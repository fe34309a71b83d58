variable "context" {
  description = "Of the environment: prefix of names, prefix of alarms' names, URL of docs/ for links in alarms, permissions boundary of the role."
  type = object({
    name                     = string
    environment              = string
    runbook_base_url         = string
    permissions_boundary_arn = string
  })
}

variable "cluster" {
  description = "The cluster of the service's pods: name and ARN."
  type        = object({ name = string, arn = string })
}

variable "network" {
  description = "The network; private subnets in at least two zones; and the security group of the pods, the only one that may connect."
  type        = object({ vpc_id = string, subnet_ids = list(string), pods_security_group_id = string })
}

variable "valkey" {
  description = "As in the environment. The version can be raised, and never lowered."
  type        = object({ engine_version = string, node_type = string, secrets_addon_version = string })

  validation {
    condition     = can(regex("^[89]\\.[0-9]$", var.valkey.engine_version)) && can(regex("^cache\\.[a-z0-9]+\\.[a-z0-9]+$", var.valkey.node_type)) && can(regex("^v[0-9]+\\.[0-9]+\\.[0-9]+-eksbuild\\.[0-9]+$", var.valkey.secrets_addon_version))
    error_message = "A minor version of Valkey 8 or 9, a type such as cache.t4g.micro, and a complete version such as v2.2.2-eksbuild.1."
  }
}

variable "kms_key_arn" {
  description = "Key that encrypts what is stored."
  type        = string
}

variable "ticket_topic_arn" {
  description = "Topic that the alarms notify."
  type        = string
}
