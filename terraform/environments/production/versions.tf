terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "6.19.0"
    }
  }

  # The rest is in backend.hcl: the bootstrap's output backend_configuration for this environment.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}
