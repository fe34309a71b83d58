mock_provider "aws" {
  source          = "../../testing/aws"
  override_during = plan
}

variables {
  context = {
    name                     = "shoutback-staging"
    permissions_boundary_arn = "arn:aws:iam::111122223333:policy/shoutback-staging-boundary"
  }
  suffix          = "collector"
  cluster         = { name = "shoutback-staging", arn = "arn:aws:eks:us-east-2:111122223333:cluster/shoutback-staging" }
  namespace       = "monitoring"
  service_account = "otel-collector"
  statements      = [{ Sid = "Send", Effect = "Allow", Action = ["cloudwatch:PutMetricData"], Resource = ["arn:aws:example"] }]
}

run "collector" {
  command = plan

  assert {
    condition     = aws_iam_role.this.name == "shoutback-staging-collector" && aws_iam_role.this.permissions_boundary == var.context.permissions_boundary_arn
    error_message = "The role has its name and the boundary."
  }

  assert {
    condition     = aws_eks_pod_identity_association.this.role_arn == aws_iam_role.this.arn && output.pods == "monitoring/otel-collector"
    error_message = "The pods get the role."
  }
}
