variable "context" {
  description = "Of the environment: prefix of the role's name, and its permissions boundary."
  type        = object({ name = string, permissions_boundary_arn = string })
}

variable "suffix" {
  description = "Last part of the role's name, and name of its policy, such as collector."
  type        = string
}

variable "cluster" {
  description = "The cluster of the pods: name and ARN."
  type        = object({ name = string, arn = string })
}

variable "namespace" {
  description = "Namespace of the pods."
  type        = string
}

variable "service_account" {
  description = "Service account of the pods."
  type        = string
}

variable "statements" {
  description = "Statements of the role's policy."
  type        = any
}
