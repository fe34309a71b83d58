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
  # Zones of which another one of these is the parent, such as staging.shoutback.example.com of shoutback.example.com.
  parents = { for environment, zone in var.zones : environment => one([for other, name in var.zones : other if endswith(zone, ".${name}")]) }

  zone_arns = {
    for environment in var.environments : environment => setunion(
      lookup(var.hosted_zone_arns, environment, []),
      [for zone in aws_route53_zone.this[*] : zone[environment].arn if contains(keys(var.zones), environment)],
    )
  }
}

resource "aws_route53_record" "delegation" {
  for_each = { for environment, parent in local.parents : environment => parent if parent != null }

  zone_id = aws_route53_zone.this[each.value].zone_id
  name    = var.zones[each.key]
  type    = "NS"
  ttl     = 3600
  records = aws_route53_zone.this[each.key].name_servers
}
