# Images of others, by a pull-through cache: ACCOUNT.dkr.ecr.REGION.amazonaws.com/ and the image with its registry. The first pull imports
# an image, later ones need neither the upstream registry nor its rate limit.
locals {
  # Docker Hub is cached only with an account of it.
  caches = merge(
    { for registry in ["quay.io", "registry.k8s.io"] : registry => { url = registry, credential_arn = null } },
    { for arn in var.docker_hub_secret_arn[*] : "docker.io" => { url = "registry-1.docker.io", credential_arn = arn } },
  )
}

resource "aws_ecr_pull_through_cache_rule" "this" {
  for_each = local.caches

  ecr_repository_prefix = each.key
  upstream_registry_url = each.value.url
  credential_arn        = each.value.credential_arn
}

# Of the repositories that ECR makes at the first pull. Tags stay movable, because upstream moves them; our manifests name digests.
# Amazon's encryption: our key and tags would need a role for ECR, for public images.
resource "aws_ecr_repository_creation_template" "this" {
  for_each = local.caches

  prefix               = each.key
  applied_for          = ["PULL_THROUGH_CACHE"]
  image_tag_mutability = "MUTABLE"
  lifecycle_policy = jsonencode({ rules = [{
    rulePriority = 1
    description  = "The newest ten images of each repository stay"
    selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 10 }
    action       = { type = "expire" }
  }] })
}
