//! The thinnest service that does the same: no token, no limit, no log, no metric, no time limit, no retry.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::Outcome;

#[derive(Deserialize, Serialize)]
struct Text {
    data: String,
}

#[derive(Serialize)]
struct Quiet {
    #[serde(rename = "INPUT")]
    input: String,
}

#[derive(Deserialize)]
struct Shout {
    #[serde(rename = "OUTPUT")]
    output: String,
}

#[derive(Clone)]
struct Upstream {
    client: reqwest::Client,
    url: reqwest::Url,
}

pub async fn serve(address: &str, url: Option<&str>) -> Outcome {
    let routes = match url {
        None => Router::new().route("/v1", post(here)),
        Some(url) => {
            let upstream = Upstream {
                client: reqwest::Client::builder().no_proxy().build()?,
                url: url.parse()?,
            };
            Router::new().route("/v1", post(there)).with_state(upstream)
        }
    };
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    Ok(axum::serve(listener, routes).await?)
}

fn reversed(text: &str) -> String {
    text.chars().rev().collect()
}

async fn here(Json(text): Json<Text>) -> Json<Text> {
    Json(Text {
        data: reversed(&text.data).to_uppercase(),
    })
}

async fn there(State(upstream): State<Upstream>, Json(text): Json<Text>) -> Result<Json<Text>, StatusCode> {
    let quiet = Quiet {
        input: reversed(&text.data),
    };
    let answer = upstream.client.post(upstream.url).json(&quiet).send().await;
    let answer = answer.map_err(|_| StatusCode::BAD_GATEWAY)?;
    let shout: Shout = answer.json().await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    Ok(Json(Text { data: shout.output }))
}
