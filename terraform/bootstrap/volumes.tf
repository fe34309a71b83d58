# Also for volumes that the cluster creates for claims: the add-on's storage class names no key.
resource "aws_ebs_encryption_by_default" "this" {
  enabled = true
}
