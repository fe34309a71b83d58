variable "name" {
  description = "Name of the bucket."
  type        = string
}

variable "kms_key_arn" {
  description = "Key that encrypts the objects; other keys are rejected."
  type        = string
}

variable "expiration_days" {
  description = "Age in days at which objects are deleted; null: never."
  type        = number
  default     = null
}

variable "statements" {
  description = "Further statements of the bucket's policy."
  type        = any
  default     = []
}
