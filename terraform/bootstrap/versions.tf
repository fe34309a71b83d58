terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = { source = "hashicorp/aws", version = "6.19.0" }
  }

  # The rest is in bootstrap.s3.tfbackend, once there is a bucket: README.md.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}
