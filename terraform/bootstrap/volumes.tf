# Volumes that the cluster makes for claims, too: their storage class is the add-on's, which names no key.
resource "aws_ebs_encryption_by_default" "this" {
  enabled = true
}
