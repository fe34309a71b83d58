//! A fake SHOUTCLOUD that uses little CPU, because it shares a core with the load generator. It reads requests with a
//! `content-length`, one after another per connection, and ignores everything but their bodies.

use std::io::ErrorKind;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::Outcome;

#[derive(Deserialize)]
struct UpstreamRequest {
    #[serde(rename = "INPUT")]
    input: String,
}

#[derive(Serialize)]
struct UpstreamResponse {
    #[serde(rename = "INPUT")]
    input: String,
    #[serde(rename = "OUTPUT")]
    output: String,
}

/// Serves SHOUTCLOUD with a latency in milliseconds.
pub async fn serve(address: &str, latency: u64) -> Outcome {
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(handle(stream, Duration::from_millis(latency)));
    }
}

async fn handle(mut stream: TcpStream, latency: Duration) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = Vec::with_capacity(16 * 1024);
    loop {
        while let Some((head, body)) = request(&bytes) {
            let request: UpstreamRequest =
                serde_json::from_slice(body).map_err(|_| ErrorKind::InvalidData)?;
            let output = request.input.to_uppercase();
            let json = serde_json::to_string(&UpstreamResponse {
                input: request.input,
                output,
            })?;
            let length = json.len();
            let response = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{json}"
            );
            if !latency.is_zero() {
                tokio::time::sleep(latency).await;
            }
            bytes.drain(..head + body.len());
            stream.write_all(response.as_bytes()).await?;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    }
}

/// Returns the length of the first request's line and headers, and its body, once all are complete.
fn request(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<usize>().ok())?
    });
    let body = bytes.get(head..head + length.unwrap_or(0))?;
    Some((head, body))
}
