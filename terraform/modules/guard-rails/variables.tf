variable "account_id" {
  description = "The account."
  type        = string
}

variable "kms_key_arn" {
  description = "Key that encrypts trail and messages."
  type        = string
}

variable "state_bucket_arn" {
  description = "Bucket of Terraform's state, whose reads and writes are in the trail."
  type        = string
}

variable "guard_rails" {
  description = "As in the bootstrap. scripts/aws/preflight checks that what is not created is there."
  type = object({
    email                = string
    monthly_budget       = number
    break_glass_role_arn = optional(string)
    trail                = bool
    guardduty            = bool
    anomaly_monitor_arn  = optional(string)
  })

  validation {
    condition     = var.guard_rails.monthly_budget > 0 && can(regex("^[^@ ]+@[^@ ]+$", var.guard_rails.email))
    error_message = "A budget of more than nothing, and an address."
  }
}
