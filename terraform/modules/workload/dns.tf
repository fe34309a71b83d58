locals {
  zone_arn = "arn:${local.partition}:route53:::hostedzone/${var.zone_id}"

  # Only records of this host, by name and type. ForAllValues alone would be true for a request in which AWS finds neither.
  named = {
    Null = {
      "route53:ChangeResourceRecordSetsNormalizedRecordNames" = "false"
      "route53:ChangeResourceRecordSetsRecordTypes"           = "false"
    }
  }

  record_statements = [
    {
      Sid      = "OwnRecords"
      Effect   = "Allow"
      Action   = ["route53:ChangeResourceRecordSets"]
      Resource = [local.zone_arn]
      Condition = merge(local.named, {
        "ForAllValues:StringEquals" = {
          # The prefixed names are external-dns' ownership records: TXT, with a prefix for the type.
          "route53:ChangeResourceRecordSetsNormalizedRecordNames" = [for prefix in ["", "a-", "aaaa-", "cname-"] : "${prefix}${var.host}"]
          "route53:ChangeResourceRecordSetsRecordTypes"           = ["A", "AAAA", "CNAME", "TXT"]
        }
      })
    },
    {
      Sid      = "ReadZone"
      Effect   = "Allow"
      Action   = ["route53:ListResourceRecordSets", "route53:ListTagsForResource", "route53:ListTagsForResources"]
      Resource = [local.zone_arn]
    },
    {
      Sid      = "FindZones"
      Effect   = "Allow"
      Action   = ["route53:ListHostedZones"]
      Resource = "*"
    },
  ]

  challenge_statements = [
    {
      Sid      = "OwnChallenges"
      Effect   = "Allow"
      Action   = ["route53:ChangeResourceRecordSets"]
      Resource = [local.zone_arn]
      Condition = merge(local.named, {
        "ForAllValues:StringEquals" = {
          "route53:ChangeResourceRecordSetsNormalizedRecordNames" = ["_acme-challenge.${var.host}"]
          "route53:ChangeResourceRecordSetsRecordTypes"           = ["TXT"]
        }
      })
    },
    {
      Sid      = "ReadZone"
      Effect   = "Allow"
      Action   = ["route53:ListResourceRecordSets"]
      Resource = [local.zone_arn]
    },
    {
      Sid      = "AwaitChanges"
      Effect   = "Allow"
      Action   = ["route53:GetChange"]
      Resource = ["arn:${local.partition}:route53:::change/*"]
    },
  ]
}

data "aws_route53_zone" "this" {
  zone_id = var.zone_id

  lifecycle {
    postcondition {
      condition     = var.host == trimsuffix(self.name, ".") || endswith(var.host, ".${trimsuffix(self.name, ".")}")
      error_message = "The host is not in this zone."
    }

    postcondition {
      condition     = self.private_zone != true
      error_message = "Names of a private zone cannot be resolved from outside."
    }
  }
}

data "aws_lb" "this" {
  count = var.record == "terraform" ? 1 : 0

  name = var.load_balancer_name
}

# A only: the load balancer has no IPv6 addresses.
resource "aws_route53_record" "host" {
  count = var.record == "terraform" ? 1 : 0

  zone_id = data.aws_route53_zone.this.zone_id
  name    = var.host
  type    = "A"

  alias {
    name                   = data.aws_lb.this[0].dns_name
    zone_id                = data.aws_lb.this[0].zone_id
    evaluate_target_health = true
  }
}

resource "aws_acm_certificate" "this" {
  count = var.certificate == "acm" ? 1 : 0

  domain_name       = var.host
  validation_method = "DNS"

  # The load balancer uses the old certificate until it has the new one.
  lifecycle {
    create_before_destroy = true
  }
}

locals {
  # One name, so one validation record.
  question = var.certificate == "acm" ? one(aws_acm_certificate.this[0].domain_validation_options) : null
}

resource "aws_route53_record" "validation" {
  count = var.certificate == "acm" ? 1 : 0

  zone_id         = data.aws_route53_zone.this.zone_id
  name            = local.question.resource_record_name
  type            = local.question.resource_record_type
  records         = [local.question.resource_record_value]
  ttl             = 300
  allow_overwrite = true
}

resource "aws_acm_certificate_validation" "this" {
  count = var.certificate == "acm" ? 1 : 0

  certificate_arn         = aws_acm_certificate.this[0].arn
  validation_record_fqdns = aws_route53_record.validation[*].fqdn
}
