# Values of the mocked provider instead of random strings: names in Amazon's format, which the real provider validates, and data
# that is used in policies.

mock_data "aws_caller_identity" {
  defaults = {
    account_id = "111122223333"
  }
}

mock_data "aws_partition" {
  defaults = {
    partition  = "aws"
    dns_suffix = "amazonaws.com"
  }
}

mock_data "aws_region" {
  defaults = {
    region = "us-east-2"
  }
}

mock_data "aws_lbs" {
  defaults = {
    arns = [for name in ["shoutback-production", "k8s-nginxint"] : "arn:aws:elasticloadbalancing:us-east-2:111122223333:loadbalancer/net/${name}/0123456789abcdef"]
  }
}

mock_data "aws_route53_zone" {
  defaults = {
    zone_id = "Z0EXAMPLE"
  }
}

mock_resource "aws_cloudformation_stack" {
  defaults = {
    outputs = {
      MachineClientId = "1machine23456789"
      PeopleClientId  = "1people234567890"
      SecretArn       = "arn:aws:secretsmanager:us-east-2:111122223333:secret:shoutback-staging-valkey-AbCdEf"
      UserGroupId     = "shoutback-staging"
    }
  }
}

mock_resource "aws_cloudwatch_log_group" {
  defaults = {
    arn = "arn:aws:logs:us-east-2:111122223333:log-group:/example"
  }
}

mock_resource "aws_cognito_user_pool" {
  defaults = {
    arn = "arn:aws:cognito-idp:us-east-2:111122223333:userpool/us-east-2_AbCdEfGhI"
    id  = "us-east-2_AbCdEfGhI"
  }
}

mock_resource "aws_ecr_repository" {
  defaults = {
    arn            = "arn:aws:ecr:us-east-2:111122223333:repository/shoutback"
    repository_url = "111122223333.dkr.ecr.us-east-2.amazonaws.com/shoutback"
    registry_id    = "111122223333"
  }
}

mock_resource "aws_eks_cluster" {
  defaults = {
    arn      = "arn:aws:eks:us-east-2:111122223333:cluster/shoutback-staging"
    endpoint = "https://0123456789ABCDEF.gr7.us-east-2.eks.amazonaws.com"
    certificate_authority = [{
      data = "Y2VydGlmaWNhdGU="
    }]
    vpc_config = {
      cluster_security_group_id = "sg-0aaaaaaaaaaaaaaaa"
    }
  }
}

mock_resource "aws_eks_access_entry" {
  defaults = {
    access_entry_arn = "arn:aws:eks:us-east-2:111122223333:access-entry/shoutback-staging/role/111122223333/example/0"
  }
}

mock_resource "aws_iam_openid_connect_provider" {
  defaults = {
    arn = "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"
  }
}

mock_resource "aws_iam_policy" {
  defaults = {
    arn = "arn:aws:iam::111122223333:policy/example"
  }
}

mock_resource "aws_iam_role" {
  defaults = {
    arn = "arn:aws:iam::111122223333:role/example"
  }
}

mock_resource "aws_kms_key" {
  defaults = {
    arn    = "arn:aws:kms:us-east-2:111122223333:key/00000000-0000-0000-0000-000000000000"
    key_id = "00000000-0000-0000-0000-000000000000"
  }
}

mock_resource "aws_route53_zone" {
  defaults = {
    arn     = "arn:aws:route53:::hostedzone/Z0STAGING"
    zone_id = "Z0STAGING"
  }
}

mock_resource "aws_s3_bucket" {
  defaults = {
    arn = "arn:aws:s3:::example"
  }
}

mock_resource "aws_sns_topic" {
  defaults = {
    arn = "arn:aws:sns:us-east-2:111122223333:example"
  }
}

# Even without defaults, a mock makes ids known in a plan.
mock_resource "aws_eip" {
  defaults = {
    public_ip = "203.0.113.1"
  }
}

mock_resource "aws_internet_gateway" {
  defaults = {}
}

mock_resource "aws_nat_gateway" {
  defaults = {}
}

mock_resource "aws_route_table" {
  defaults = {}
}

mock_resource "aws_security_group" {
  defaults = {}
}

mock_resource "aws_subnet" {
  defaults = {}
}

mock_resource "aws_vpc" {
  defaults = {
    id = "vpc-0aaaaaaaaaaaaaaaa"
  }
}

mock_resource "aws_cloudtrail" {
  defaults = {}
}

mock_resource "aws_ce_anomaly_monitor" {
  defaults = {
    arn = "arn:aws:ce::111122223333:anomalymonitor/00000000-0000-0000-0000-000000000000"
  }
}
