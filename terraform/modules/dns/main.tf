# The hosts' records, and who writes them: external-dns and cert-manager, for these hosts and no other name.
data "aws_partition" "current" {}

data "aws_route53_zone" "this" {
  name         = var.dns.zone
  private_zone = false
}

locals {
  zone_arn = "arn:${data.aws_partition.current.partition}:route53:::hostedzone/${data.aws_route53_zone.this.zone_id}"

  hosts = [var.dns.host, var.dns.tools_host]

  # ForAllValues alone would be true for a request in which AWS finds neither names nor types.
  named = {
    Null = {
      "route53:ChangeResourceRecordSetsNormalizedRecordNames" = "false"
      "route53:ChangeResourceRecordSetsRecordTypes"           = "false"
    }
  }

  pods = {
    # The prefixed names are external-dns' ownership records: TXT, with a prefix for the type.
    records = {
      namespace = "external-dns"
      names     = [for pair in setproduct(["", "a-", "aaaa-", "cname-"], local.hosts) : join("", pair)]
      types     = ["A", "AAAA", "CNAME", "TXT"]
      reads = [
        { Sid = "ReadZone", Effect = "Allow", Action = ["route53:ListResourceRecordSets", "route53:ListTagsForResource", "route53:ListTagsForResources"], Resource = [local.zone_arn] },
        { Sid = "FindZones", Effect = "Allow", Action = ["route53:ListHostedZones"], Resource = ["*"] },
      ]
    }
    certificates = {
      namespace = "cert-manager"
      names     = [for host in local.hosts : "_acme-challenge.${host}"]
      types     = ["TXT"]
      reads = [
        { Sid = "ReadZone", Effect = "Allow", Action = ["route53:ListResourceRecordSets"], Resource = [local.zone_arn] },
        { Sid = "AwaitChanges", Effect = "Allow", Action = ["route53:GetChange"], Resource = ["arn:${data.aws_partition.current.partition}:route53:::change/*"] },
      ]
    }
  }
}

module "pod_role" {
  source   = "../pod-role"
  for_each = local.pods

  context         = var.context
  suffix          = each.key
  cluster         = var.cluster
  namespace       = each.value.namespace
  service_account = each.value.namespace
  statements = concat([{
    Sid      = "OwnRecords"
    Effect   = "Allow"
    Action   = ["route53:ChangeResourceRecordSets"]
    Resource = [local.zone_arn]
    Condition = merge(local.named, {
      "ForAllValues:StringEquals" = {
        "route53:ChangeResourceRecordSetsNormalizedRecordNames" = each.value.names
        "route53:ChangeResourceRecordSetsRecordTypes"           = each.value.types
      }
    })
  }], each.value.reads)
}
