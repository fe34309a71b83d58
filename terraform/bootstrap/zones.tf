# Created here and not with an environment: a zone must be delegated before certificates for its hosts can be issued, and the roles
# of an environment are limited to its zones.
resource "aws_route53_zone" "this" {
  # checkov:skip=CKV2_AWS_38: DNSSEC needs a key in us-east-1 and a record at the parent, which is the registrar's
  # checkov:skip=CKV2_AWS_39: query logs have nothing that the log of the ingress lacks
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
