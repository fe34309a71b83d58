mock_provider "aws" {
  source          = "../../testing/aws"
  override_during = plan

  override_data {
    target = data.aws_route53_zone.this
    values = { zone_id = "Z0PRODUCTION", name = "example.com" }
  }
}

variables {
  name                      = "shoutback-production"
  cluster_name              = "shoutback-production"
  cluster_arn               = "arn:aws:eks:eu-central-1:111122223333:cluster/shoutback-production"
  cluster_security_group_id = "sg-0aaaaaaaaaaaaaaaa"
  vpc_id                    = "vpc-0aaaaaaaaaaaaaaaa"
  zone_id                   = "Z0PRODUCTION"
  host                      = "api.example.com"
  permissions_boundary_arn  = "arn:aws:iam::111122223333:policy/shoutback-production-boundary"
}

run "example" {
  command = plan

  module {
    source = "./example"
  }

  assert {
    condition     = tolist(output.pods) == tolist(["cert-manager/cert-manager", "external-dns/external-dns", "kube-system/aws-load-balancer-controller", "monitoring/otel-collector"])
    error_message = "Controllers and collector have roles."
  }
}

run "by_the_cluster" {
  command = plan

  assert {
    condition     = toset(keys(aws_eks_pod_identity_association.this)) == toset(["certificates", "load-balancers", "records"])
    error_message = "external-dns and cert-manager get their roles only if they are used."
  }

  assert {
    condition     = alltrue([for role in aws_iam_role.pods : role.permissions_boundary == var.permissions_boundary_arn])
    error_message = "Roles have the boundary."
  }

  assert {
    condition     = output.certificate_arn == null && length(aws_route53_record.host) + length(aws_route53_record.validation) == 0
    error_message = "Terraform creates neither certificate nor records."
  }
}

run "by_terraform" {
  command = plan

  variables {
    record             = "terraform"
    load_balancer_name = "shoutback-production"
    certificate        = "acm"
  }

  assert {
    condition     = toset(keys(aws_eks_pod_identity_association.this)) == toset(["load-balancers"])
    error_message = "No pod may change records."
  }

  assert {
    condition     = aws_route53_record.host[0].name == "api.example.com" && aws_route53_record.host[0].type == "A" && one(aws_route53_record.host[0].alias).evaluate_target_health
    error_message = "The host resolves to the load balancer."
  }

  assert {
    condition     = aws_acm_certificate.this[0].domain_name == "api.example.com" && aws_acm_certificate.this[0].validation_method == "DNS"
    error_message = "The certificate is for the host, with DNS validation."
  }

  assert {
    condition     = [for record in aws_route53_record.validation : record.name] == ["_0.api.example.com."] && output.certificate_arn != null
    error_message = "The validation record is in the zone, and the output waits for the validation."
  }
}

run "another_zone" {
  command = plan

  variables {
    host = "api.example.org"
  }

  expect_failures = [data.aws_route53_zone.this]
}

run "refused" {
  command = plan

  variables {
    name                      = "S"
    cluster_arn               = "shoutback-production"
    cluster_security_group_id = "default"
    vpc_id                    = "default"
    pod_roles                 = { any = { namespace = "*", service_account = "*", role_arn = "arn:aws:iam::111122223333:role/any" } }
    zone_id                   = "example.com"
    host                      = "*.example.com"
    record                    = "hand"
    certificate               = "none"
  }

  expect_failures = [
    var.name,
    var.cluster_arn,
    var.cluster_security_group_id,
    var.vpc_id,
    var.pod_roles,
    var.zone_id,
    var.host,
    var.record,
    var.certificate,
  ]
}

run "refused_in_other_ways" {
  command = plan

  variables {
    load_balancer_name = "shoutback-production"
  }

  expect_failures = [var.load_balancer_name]
}
