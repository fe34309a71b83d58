# Made here and not with an environment: a zone has to be delegated before a certificate of its hosts can be had, and the roles of
# an environment are bounded by its zones.
resource "aws_route53_zone" "this" {
  # checkov:skip=CKV2_AWS_38: DNSSEC needs a key in us-east-1 and a record at the parent, which is the registrar's
  # checkov:skip=CKV2_AWS_39: queries tell nothing here that the ingress's log does not
  for_each = var.zones

  name          = each.value
  force_destroy = false
}

locals {
  zone_arns = {
    for environment in var.environments : environment => setunion(
      lookup(var.hosted_zone_arns, environment, []),
      contains(keys(var.zones), environment) ? [aws_route53_zone.this[environment].arn] : [],
    )
  }
}
