output "settings" {
  description = "The pool for the service and its callers: user_pool_id; client_ids of machine and people, of which the latter has no secret; the original issuer; domain where people sign in; token_url for machines; scope that clients request; machine_secret_name, the secret in Secrets Manager with client_id and client_secret."
  value = {
    user_pool_id        = aws_cognito_user_pool.this.id
    client_ids          = { for who in ["machine", "people"] : who => aws_cloudformation_stack.clients.outputs["${title(who)}ClientId"] }
    issuer              = "https://cognito-idp.${local.region}.${data.aws_partition.current.dns_suffix}/${aws_cognito_user_pool.this.id}"
    domain              = local.domain
    token_url           = "https://${local.domain}/oauth2/token"
    scope               = local.scope
    machine_secret_name = local.clients.Resources.MachineSecret.Properties.Name
  }
}
