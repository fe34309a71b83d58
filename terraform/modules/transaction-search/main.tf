data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.region
}

# X-Ray creates both groups: names that begin with aws/ are reserved for AWS.
resource "aws_cloudwatch_log_resource_policy" "spans" {
  policy_name = "transaction-search"
  policy_document = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "SpansOfThisAccount"
      Effect    = "Allow"
      Principal = { Service = "xray.amazonaws.com" }
      Action    = ["logs:PutLogEvents"]
      Resource = [
        for group in ["aws/spans", "/aws/application-signals/data"] :
        "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:${group}:*"
      ]
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account }
        ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:xray:${local.region}:${local.account}:*" }
      }
    }]
  })
}

# A stack, because the provider lacks the resource in this version.
resource "aws_cloudformation_stack" "transaction_search" {
  # checkov:skip=CKV_AWS_124: Terraform reports the result; there are no other consumers of the stack's events
  name = "shoutback-transaction-search"
  template_body = jsonencode({
    AWSTemplateFormatVersion = "2010-09-09"
    Description              = "X-Ray takes spans by OTLP and keeps them in CloudWatch Logs"
    Resources = {
      TransactionSearch = {
        Type       = "AWS::XRay::TransactionSearchConfig"
        Properties = { IndexingPercentage = var.indexing_percentage }
      }
    }
  })

  # Fails until X-Ray has permission to write.
  depends_on = [aws_cloudwatch_log_resource_policy.spans]
}
