//! `POST /oauth2/token`: the client credentials, authorization code and refresh token grants (RFC 6749), with Cognito's
//! errors.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::grants::Grant;
use super::pool::{Pool, SCOPE, TOKEN_LIFETIME};
use crate::server;

#[cfg(test)]
mod tests;

/// Why no token is issued, displayed as the error code of RFC 6749.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
enum TokenError {
    #[error("invalid_request")]
    InvalidRequest,
    #[error("invalid_client")]
    InvalidClient,
    #[error("invalid_grant")]
    InvalidGrant,
    #[error("unauthorized_client")]
    UnauthorizedClient,
    #[error("unsupported_grant_type")]
    UnsupportedGrantType,
    #[error("invalid_scope")]
    InvalidScope,
}

pub(super) async fn token(State(pool): State<Arc<Pool>>, headers: HeaderMap, body: Bytes) -> Response {
    let mut response = match issue(&pool, &headers, &body) {
        Ok(mut tokens) => {
            tokens.insert("expires_in".to_owned(), json!(TOKEN_LIFETIME.as_secs()));
            tokens.insert("token_type".to_owned(), json!("Bearer"));
            server::json(StatusCode::OK, &Value::Object(tokens))
        }
        Err(error) => server::json(StatusCode::BAD_REQUEST, &json!({ "error": error.to_string() })),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    // Cognito permits pages of other origins to read the response.
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

fn issue(pool: &Pool, headers: &HeaderMap, body: &[u8]) -> Result<Map<String, Value>, TokenError> {
    let form = form(headers, body)?;
    match form.get("grant_type").map(String::as_str) {
        None => Err(TokenError::InvalidRequest),
        Some("client_credentials") => {
            check_confidential_client(pool, headers, &form)?;
            Ok(tokens([("access_token", pool.token())]))
        }
        Some("authorization_code") => {
            check_public_client(pool, headers, &form)?;
            let required = |name| form.get(name).ok_or(TokenError::InvalidRequest);
            let (code, redirect_uri) = (required("code")?, required("redirect_uri")?);
            let grant = pool
                .grants
                .redeem_code(code, redirect_uri, required("code_verifier")?)
                .ok_or(TokenError::InvalidGrant)?;
            let mut tokens = user_tokens(pool, &grant);
            let refresh_token = pool.grants.insert_refresh_token(grant);
            tokens.insert("refresh_token".to_owned(), json!(refresh_token));
            Ok(tokens)
        }
        Some("refresh_token") => {
            check_public_client(pool, headers, &form)?;
            let token = form.get("refresh_token").ok_or(TokenError::InvalidRequest)?;
            let grant = pool
                .grants
                .get_by_refresh_token(token)
                .ok_or(TokenError::InvalidGrant)?;
            Ok(user_tokens(pool, &grant))
        }
        Some(_) => Err(TokenError::UnsupportedGrantType),
    }
}

fn user_tokens(pool: &Pool, grant: &Grant) -> Map<String, Value> {
    let mut tokens = tokens([("access_token", pool.user_access_token(grant))]);
    if grant.scopes.iter().any(|scope| scope == "openid") {
        tokens.insert("id_token".to_owned(), json!(pool.id_token(grant)));
    }
    tokens
}

fn tokens<const N: usize>(tokens: [(&str, String); N]) -> Map<String, Value> {
    tokens
        .into_iter()
        .map(|(name, token)| (name.to_owned(), json!(token)))
        .collect()
}

fn check_confidential_client(
    pool: &Pool,
    headers: &HeaderMap,
    form: &BTreeMap<String, String>,
) -> Result<(), TokenError> {
    let (id, secret) = credentials(headers, form)?;
    if id != pool.client.id || secret != pool.client.secret {
        return Err(TokenError::InvalidClient);
    }
    let scopes = form.get("scope").map_or(SCOPE, String::as_str);
    if scopes.split(' ').any(|scope| scope != SCOPE) {
        return Err(TokenError::InvalidScope);
    }
    Ok(())
}

/// Checks that the caller is the public client, which has no secret: a request with one is rejected.
fn check_public_client(
    pool: &Pool,
    headers: &HeaderMap,
    form: &BTreeMap<String, String>,
) -> Result<(), TokenError> {
    let has_secret = headers.contains_key(header::AUTHORIZATION) || form.contains_key("client_secret");
    if has_secret {
        let (id, _) = credentials(headers, form)?;
        return Err(if id == pool.client.id {
            TokenError::UnauthorizedClient
        } else {
            TokenError::InvalidClient
        });
    }
    match form.get("client_id") {
        None => Err(TokenError::InvalidRequest),
        Some(id) if *id == pool.public_client_id => Ok(()),
        Some(_) => Err(TokenError::InvalidClient),
    }
}

/// Parses the form. Duplicate parameters are an error; an empty parameter counts as absent.
fn form(headers: &HeaderMap, body: &[u8]) -> Result<BTreeMap<String, String>, TokenError> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .ok_or(TokenError::InvalidRequest)?;
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(TokenError::InvalidRequest);
    }
    let mut form = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(body) {
        if value.is_empty() {
            continue;
        }
        if form.insert(name.into_owned(), value.into_owned()).is_some() {
            return Err(TokenError::InvalidRequest);
        }
    }
    Ok(form)
}

/// Returns the client's id and secret, from the header `authorization` if present, else from the form.
fn credentials(headers: &HeaderMap, form: &BTreeMap<String, String>) -> Result<(String, String), TokenError> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (id, secret) = value
            .to_str()
            .ok()
            .and_then(basic)
            .ok_or(TokenError::InvalidClient)?;
        if form.get("client_id").is_some_and(|other| *other != id) {
            return Err(TokenError::InvalidRequest);
        }
        return Ok((id, secret));
    }
    let id = form.get("client_id").ok_or(TokenError::InvalidRequest)?;
    let secret = form.get("client_secret").ok_or(TokenError::InvalidClient)?;
    Ok((id.clone(), secret.clone()))
}

fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}
