// With reqwest 0.13, serde_json and tokio ("macros", "rt-multi-thread").
use std::env;
use std::time::Duration;

use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
    let response = client
        .post(format!("{}/v1", env::var("SHOUTBACK")?))
        .bearer_auth(env::var("TOKEN")?)
        .header("content-type", "application/json")
        .body(json!({ "data": "hello, world!" }).to_string())
        .send()
        .await?;
    let status = response.status();
    let header = |name| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
    let (content_type, wait) = (header("content-type"), header("retry-after"));
    let body = response.bytes().await?;
    if !status.is_success() && content_type.as_deref() != Some("application/problem+json") {
        return Err(format!("status {status}").into());
    }
    let body: Value = serde_json::from_slice(&body)?;
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    if status.is_success() {
        println!("{}", text("data"));
        return Ok(());
    }
    let hint = wait.map_or(String::new(), |seconds| format!("; retry in {seconds} s"));
    Err(format!("{}: {}{hint}", text("title"), text("detail")).into())
}
