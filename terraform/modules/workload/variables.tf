variable "name" {
  description = "Prefix of names, such as shoutback-staging."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,40}$", var.name))
    error_message = "The name is 3 to 41 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "cluster_name" {
  description = "The cluster of the pods; its load balancer controller may only change resources with a tag of this name."
  type        = string
}

variable "cluster_arn" {
  description = "Its ARN, which the roles trust."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:eks:[a-z0-9-]+:[0-9]{12}:cluster/[A-Za-z0-9-]+$", var.cluster_arn))
    error_message = "The ARN of a cluster."
  }
}

variable "cluster_security_group_id" {
  description = "Security group of the nodes, to which the load balancer controller adds rules for the load balancer."
  type        = string

  validation {
    condition     = can(regex("^sg-[0-9a-f]+$", var.cluster_security_group_id))
    error_message = "The id of a security group."
  }
}

variable "vpc_id" {
  description = "The network in which the load balancer controller creates security groups."
  type        = string

  validation {
    condition     = can(regex("^vpc-[0-9a-f]+$", var.vpc_id))
    error_message = "The id of a network."
  }
}

variable "pod_roles" {
  description = "Roles of other modules for pods: namespace, service account, role."
  type        = map(object({ namespace = string, service_account = string, role_arn = string }))
  default     = {}

  validation {
    condition     = alltrue([for pods in values(var.pod_roles) : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/", pods.role_arn)) && can(regex("^[a-z0-9-]+/[a-z0-9-]+$", "${pods.namespace}/${pods.service_account}"))])
    error_message = "A namespace, a service account, and the ARN of a role."
  }
}

variable "zone_id" {
  description = "The public Route 53 zone of the host."
  type        = string

  validation {
    condition     = can(regex("^Z[A-Z0-9]+$", var.zone_id))
    error_message = "The id of a hosted zone, which begins with Z."
  }
}

variable "host" {
  description = "Host of the API."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,}$", var.host))
    error_message = "A host in lower case such as api.example.com: no wildcard, no dot at its end."
  }
}

variable "record" {
  description = "Manager of the host's records: external-dns, or terraform, once the load balancer exists."
  type        = string
  default     = "external-dns"

  validation {
    condition     = contains(["external-dns", "terraform"], var.record)
    error_message = "external-dns or terraform."
  }
}

variable "load_balancer_name" {
  description = "Name of the load balancer for the records; only with record = \"terraform\"."
  type        = string
  default     = null

  validation {
    condition     = (var.record == "terraform") == (var.load_balancer_name != null)
    error_message = "Required with record = \"terraform\", and not permitted otherwise."
  }
}

variable "certificate" {
  description = "Issuer of the host's certificate: cert-manager, for NGINX, or acm, for a load balancer in front of it."
  type        = string
  default     = "cert-manager"

  validation {
    condition     = contains(["cert-manager", "acm"], var.certificate)
    error_message = "cert-manager or acm."
  }
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of the roles that are created here."
  type        = string
  default     = null
}
