// With reqwest 0.13, serde_json and tokio ("macros", "rt-multi-thread").
use std::env;
use std::time::Duration;

use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
    let answer = client
        .post(format!("{}/v1", env::var("SHOUTBACK")?))
        .bearer_auth(env::var("TOKEN")?)
        .header("content-type", "application/json")
        .body(json!({ "data": "hello, world!" }).to_string())
        .send()
        .await?;
    let wait = answer.headers().get("retry-after").cloned();
    let succeeded = answer.status().is_success();
    let body: Value = serde_json::from_slice(&answer.bytes().await?)?;
    if succeeded {
        println!("{}", body["data"].as_str().unwrap_or_default());
        return Ok(());
    }
    let again = match wait {
        Some(seconds) => format!("; try again in {} s", seconds.to_str()?),
        None => String::new(),
    };
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    Err(format!("{}: {}{again}", text("title"), text("detail")).into())
}
