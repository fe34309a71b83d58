# Defaults of the whole account in this region, also for resources of other projects.

# Also for volumes that the cluster creates for claims: their storage class names no key.
resource "aws_ebs_encryption_by_default" "this" {
  enabled = true
}

resource "aws_ec2_instance_metadata_defaults" "this" {
  http_tokens                 = "required"
  http_put_response_hop_limit = 1
}

resource "aws_s3_account_public_access_block" "this" {
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

# X-Ray takes spans by OTLP only with Transaction Search. It creates both groups: names that begin with aws/ are reserved for AWS.
resource "aws_cloudwatch_log_resource_policy" "spans" {
  policy_name = "transaction-search"
  policy_document = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "SpansOfThisAccount"
      Effect    = "Allow"
      Principal = { Service = "xray.amazonaws.com" }
      Action    = ["logs:PutLogEvents"]
      Resource  = [for group in ["aws/spans", "/aws/application-signals/data"] : "${local.arn}:logs:${var.region}:${var.account_id}:log-group:${group}:*"]
      Condition = {
        StringEquals = { "aws:SourceAccount" = var.account_id }
        ArnLike      = { "aws:SourceArn" = "${local.arn}:xray:${var.region}:${var.account_id}:*" }
      }
    }]
  })
}

# A stack, because the provider lacks the resource in this version.
resource "aws_cloudformation_stack" "transaction_search" {
  # checkov:skip=CKV_AWS_124: Terraform reports the result; there are no other consumers of the stack's events
  count = var.transaction_search ? 1 : 0

  name = "shoutback-transaction-search"
  template_body = jsonencode({
    AWSTemplateFormatVersion = "2010-09-09"
    Description              = "X-Ray takes spans by OTLP and keeps them in CloudWatch Logs"
    Resources = {
      # All spans are stored and searchable; indexing more than 1 % of them as traces costs extra.
      TransactionSearch = { Type = "AWS::XRay::TransactionSearchConfig", Properties = { IndexingPercentage = 1 } }
    }
  })

  # Fails until X-Ray has permission to write.
  depends_on = [aws_cloudwatch_log_resource_policy.spans]
}
