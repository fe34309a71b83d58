variable "indexing_percentage" {
  description = "Share of the spans that X-Ray indexes as traces, in percent; all are stored and searchable anyway. More than 1 costs extra."
  type        = number
  default     = 1

  validation {
    condition     = var.indexing_percentage >= 0 && var.indexing_percentage <= 100
    error_message = "A percentage."
  }
}
