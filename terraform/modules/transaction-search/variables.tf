variable "indexing_percentage" {
  description = "Share of the spans that X-Ray indexes as traces, in percent; all are kept and can be searched anyway. Beyond 1 it has a price."
  type        = number
  default     = 1

  validation {
    condition     = var.indexing_percentage >= 0 && var.indexing_percentage <= 100
    error_message = "A percentage."
  }
}
