terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = { source = "hashicorp/aws", version = "6.19.0" }
  }

  # The rest is in ENVIRONMENT.s3.tfbackend: the output backend_configuration of the bootstrap.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}
