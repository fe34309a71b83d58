//! The log of the process: lines, streams and files.

mod docs;
mod files;
mod keys;
mod panics;
mod requests;
mod secrets;
mod streams;

use std::net::SocketAddr;

use shoutback_emulators::shoutcloud::{Behaviour, Emulator};

use crate::process::child::Process;
use crate::support::key_server::KeyServer;
use crate::support::{POOL_ID, client, http1, loopback};

async fn shoutcloud() -> Emulator {
    Emulator::start(loopback().await, Behaviour::default()).expect("a SHOUTCLOUD emulator")
}

/// Returns settings for free ports, no authentication and a shutdown without delay, and those in `more`.
fn settings<'a>(upstream: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut settings = vec![
        ("HTTP_ADDR", "127.0.0.1:0"),
        ("ADMIN_ADDR", "127.0.0.1:0"),
        ("AUTH_MODE", "disabled"),
        ("RATE_LIMIT_PER_CLIENT", "off"),
        ("SHUTDOWN_GRACE", "0ms"),
        ("SHOUTCLOUD_URL", upstream),
    ];
    settings.extend(more);
    settings
}

/// Connections are refused.
const NO_UPSTREAM: &str = "http://127.0.0.1:1/V1/SHOUT";

fn serve(upstream: &str, more: &[(&str, &str)]) -> Process {
    Process::start(&["serve"], &settings(upstream, more))
}

/// Starts the service with the keys of this server, which it fetches ten times a second.
fn serve_with_keys(keys: &KeyServer) -> Process {
    let url = keys.url();
    let variables = [
        ("AUTH_MODE", "cognito"),
        ("COGNITO_USER_POOL_IDS", POOL_ID),
        ("COGNITO_CLIENT_IDS", "app"),
        ("COGNITO_JWKS_ENDPOINT", &*url),
        ("COGNITO_JWKS_REFRESH", "100ms"),
    ];
    serve(NO_UPSTREAM, &variables)
}

/// Sends requests on one connection, each with an id of `length` bytes that ends in its number; all get 404.
async fn send_requests(public: SocketAddr, numbers: std::ops::Range<usize>, length: usize) {
    let mut requests = String::new();
    for number in numbers.clone() {
        let connection = if number + 1 == numbers.end {
            "close"
        } else {
            "keep-alive"
        };
        requests += &format!(
            "GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: {connection}\r\nx-request-id: {number:0length$}\r\n\r\n"
        );
    }
    let responses = http1::exchange_while_writing(public, requests.into_bytes()).await;
    assert_eq!(responses.matches("HTTP/1.1 404 ").count(), numbers.len());
}

/// Returns the value of a metric without labels.
async fn metric(admin: SocketAddr, name: &str) -> u64 {
    let response = client().get(format!("http://{admin}/metrics")).send().await;
    let text = response.expect("a response").text().await.expect("UTF-8");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.expect("the metric").parse().expect("a number")
}

const DROPPED: &str = "shoutback_log_lines_dropped_total";
