# A private bucket with versions, encrypted by a given key, that Terraform never destroys.
resource "aws_s3_bucket" "this" {
  # checkov:skip=CKV_AWS_18: who reads an object is in the data events of the trail (modules/guard-rails), also of the trail's own bucket; a log bucket would need another one itself
  # checkov:skip=CKV_AWS_144: there is no recovery in another region, see docs/regions.md; versions guard against overwriting
  # checkov:skip=CKV2_AWS_62: there are no consumers of events
  bucket        = var.name
  force_destroy = false

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.bucket

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.bucket

  rule {
    bucket_key_enabled = true
    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.bucket
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.bucket

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  bucket = aws_s3_bucket.this.bucket

  rule {
    id     = "old"
    status = "Enabled"
    filter {}

    # Twenty versions of each object are retained at any age.
    noncurrent_version_expiration {
      noncurrent_days           = 90
      newer_noncurrent_versions = 20
    }

    dynamic "expiration" {
      for_each = var.expiration_days[*]
      content {
        days = expiration.value
      }
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  # Without versions, there are no old ones to expire: AWS rejects the rule.
  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_policy" "this" {
  bucket = aws_s3_bucket.this.bucket
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      for sid, deny in {
        TlsOnly      = { action = "s3:*", condition = { Bool = { "aws:SecureTransport" = "false" } } }
        Tls12OrLater = { action = "s3:*", condition = { NumericLessThan = { "s3:TlsVersion" = "1.2" } } }
        # Requests without encryption headers get the bucket's encryption. `Null` limits the statement to requests with the header:
        # StringNotEquals is true for an absent key, too.
        KmsOnly = { action = "s3:PutObject", condition = {
          Null            = { "s3:x-amz-server-side-encryption" = "false" }
          StringNotEquals = { "s3:x-amz-server-side-encryption" = "aws:kms" }
        } }
        OwnKeyOnly = { action = "s3:PutObject", condition = {
          Null            = { "s3:x-amz-server-side-encryption-aws-kms-key-id" = "false" }
          StringNotEquals = { "s3:x-amz-server-side-encryption-aws-kms-key-id" = var.kms_key_arn }
        } }
      } : { Sid = sid, Effect = "Deny", Principal = "*", Action = deny.action, Resource = [aws_s3_bucket.this.arn, "${aws_s3_bucket.this.arn}/*"], Condition = deny.condition }
    ], var.statements)
  })

  # A policy is rejected while the public access block is being created.
  depends_on = [aws_s3_bucket_public_access_block.this]
}
