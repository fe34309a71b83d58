output "user_pool_id" {
  description = "COGNITO_USER_POOL_IDS."
  value       = aws_cognito_user_pool.this.id
}

output "user_pool_arn" {
  description = "ARN of the user pool."
  value       = aws_cognito_user_pool.this.arn
}

output "issuer" {
  description = "The original issuer of the pool. The service accepts it and AWS's second one, `https://issuer-cognito-idp…`, as `iss`."
  value       = local.issuer
}

output "domain" {
  description = "Host where people sign in."
  value       = local.domain
}

output "token_url" {
  description = "Token endpoint for machines."
  value       = "https://${local.domain}/oauth2/token"
}

output "scope" {
  description = "The scope that clients request; AUTH_REQUIRED_SCOPES."
  value       = local.scope
}

output "machine_client_id" {
  description = "Client of machines (client_credentials)."
  value       = aws_cognito_user_pool_client.machine.id
}

output "machine_client_secret" {
  description = "Its secret."
  value       = aws_cognito_user_pool_client.machine.client_secret
  sensitive   = true
}

output "public_client_id" {
  description = "Client of people (authorization code with PKCE), which has no secret."
  value       = aws_cognito_user_pool_client.people.id
}

output "client_ids" {
  description = "COGNITO_CLIENT_IDS: both."
  value       = [aws_cognito_user_pool_client.machine.id, aws_cognito_user_pool_client.people.id]
}
