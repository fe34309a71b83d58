//! A minimal service with the same API: no authentication, limits, logs, metrics, timeouts or retries.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::Outcome;

#[derive(Deserialize, Serialize)]
pub struct Text {
    pub data: String,
}

#[derive(Serialize)]
pub struct UpstreamRequest {
    #[serde(rename = "INPUT")]
    pub input: String,
}

#[derive(Deserialize)]
pub struct UpstreamResponse {
    #[serde(rename = "OUTPUT")]
    pub output: String,
}

#[derive(Clone)]
struct Upstream {
    client: reqwest::Client,
    url: reqwest::Url,
}

pub async fn serve(address: &str, url: Option<&str>) -> Outcome {
    let routes = match url {
        None => Router::new().route("/v1", post(local)),
        Some(url) => {
            let upstream = Upstream {
                client: reqwest::Client::builder().no_proxy().build()?,
                url: url.parse()?,
            };
            Router::new().route("/v1", post(proxy)).with_state(upstream)
        }
    };
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    Ok(axum::serve(listener, routes).await?)
}

pub fn reverse(text: &str) -> String {
    text.chars().rev().collect()
}

async fn local(Json(text): Json<Text>) -> Json<Text> {
    Json(Text {
        data: reverse(&text.data).to_uppercase(),
    })
}

async fn proxy(State(upstream): State<Upstream>, Json(text): Json<Text>) -> Result<Json<Text>, StatusCode> {
    let request = UpstreamRequest {
        input: reverse(&text.data),
    };
    let response = upstream.client.post(upstream.url).json(&request).send().await;
    let response = response.map_err(|_| StatusCode::BAD_GATEWAY)?;
    let shout: UpstreamResponse = response.json().await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    Ok(Json(Text { data: shout.output }))
}
