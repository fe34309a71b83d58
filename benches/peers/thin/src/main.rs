//! Helpers of the side-by-side benchmark: a minimal service as the baseline, a fake upstream and a load generator.
//!
//! - `thin serve ADDRESS`: reverses and upper-cases the text itself;
//! - `thin serve ADDRESS URL`: reverses the text and has SHOUTCLOUD at URL upper-case it;
//! - `thin upstream ADDRESS`: a fake SHOUTCLOUD;
//! - `thin verify COUNT`: COUNT RS256 signature checks; reads a token and a key set from stdin;
//! - `thin open-loop ADDRESS RATE SECONDS CONNECTIONS`: RATE requests per second, independent of the responses; reads the
//!   request from stdin.

mod open_loop;
mod serve;
mod upstream;
mod verify;

use std::error::Error;

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

const USAGE: &str = "usage: thin serve ADDRESS [URL] | upstream ADDRESS | verify COUNT | open-loop ADDRESS RATE SECONDS CONNECTIONS";

#[tokio::main]
async fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["serve", address] => serve::serve(address, None).await,
        ["serve", address, url] => serve::serve(address, Some(url)).await,
        ["upstream", address] => upstream::serve(address).await,
        ["verify", count] => verify::check(count.parse()?),
        ["open-loop", address, rate, seconds, connections] => {
            open_loop::load(address, rate.parse()?, seconds.parse()?, connections.parse()?)
        }
        _ => Err(USAGE.into()),
    }
}
