//! The pool's public documents: its key set and its discovery document.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use super::pool::Pool;
use crate::server;

pub(super) async fn jwks(State(pool): State<Arc<Pool>>, Path(id): Path<String>) -> Response {
    if id != pool.id {
        return unknown_pool(&id);
    }
    pool.jwks_fetches.fetch_add(1, Ordering::Relaxed);
    server::json(StatusCode::OK, &json!(pool.keys.load().published()))
}

pub(super) async fn discovery(State(pool): State<Arc<Pool>>, Path(id): Path<String>) -> Response {
    if id != pool.id {
        return unknown_pool(&id);
    }
    let (endpoint, issuer) = (&pool.endpoint, pool.issuer());
    server::json(
        StatusCode::OK,
        &json!({
            "issuer": issuer,
            "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
            "token_endpoint": format!("{endpoint}/oauth2/token"),
            "authorization_endpoint": format!("{endpoint}/oauth2/authorize"),
            "userinfo_endpoint": format!("{endpoint}/oauth2/userInfo"),
            "response_types_supported": ["code", "token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "email", "phone", "profile"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        }),
    )
}

fn unknown_pool(id: &str) -> Response {
    let message = format!("User pool {id} does not exist.");
    server::json(StatusCode::NOT_FOUND, &json!({ "message": message }))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{get_json, published, start};

    #[tokio::test]
    async fn counts_fetches_of_its_own_key_set_only() {
        let emulator = start().await;
        assert_eq!(emulator.jwks_fetches(), 0);
        published(&emulator).await;
        let other = format!("{}/us-east-2_Other", emulator.endpoint());
        for document in ["jwks.json", "openid-configuration"] {
            let (status, body) = get_json(&format!("{other}/.well-known/{document}")).await;
            assert_eq!(status, 404);
            assert_eq!(body["message"], "User pool us-east-2_Other does not exist.");
        }
        assert_eq!(emulator.jwks_fetches(), 1);
    }

    #[tokio::test]
    async fn the_discovery_document_points_to_the_keys_and_the_token_endpoint() {
        let emulator = start().await;
        let url = format!("{}/.well-known/openid-configuration", emulator.issuer());
        let (status, document) = get_json(&url).await;
        assert_eq!(status, 200);
        assert_eq!(document["issuer"], emulator.issuer());
        assert_eq!(get_json(document["jwks_uri"].as_str().unwrap()).await.0, 200);
        let token_endpoint = format!("{}/oauth2/token", emulator.endpoint());
        assert_eq!(document["token_endpoint"], token_endpoint);
        for name in [
            "authorization_endpoint",
            "userinfo_endpoint",
            "response_types_supported",
            "subject_types_supported",
            "id_token_signing_alg_values_supported",
            "scopes_supported",
            "token_endpoint_auth_methods_supported",
        ] {
            assert!(!document[name].is_null(), "{name}");
        }
    }
}
