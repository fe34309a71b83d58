//! Helpers of the side-by-side benchmark: a minimal service as the baseline, a fake upstream and a load generator.
//!
//! - `thin serve ADDRESS`: reverses and upper-cases the text itself;
//! - `thin serve ADDRESS URL`: reverses the text and has SHOUTCLOUD at URL upper-case it;
//! - `thin floor ADDRESS [URL]`: the same as `serve`, by hyper alone;
//! - `thin upstream ADDRESS [MILLISECONDS]`: a fake SHOUTCLOUD with that latency;
//! - `thin verify COUNT`: COUNT RS256 signature checks; reads a token and a key set from stdin;
//! - `thin open-loop ADDRESS RATE:SECONDS,… CONNECTIONS`: RATE requests per second, independent of the responses, then the next RATE;
//!   reads the request from stdin.

mod floor;
mod open_loop;
mod serve;
mod upstream;
mod verify;

use std::error::Error;

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

const USAGE: &str = "usage: thin serve ADDRESS [URL] | floor ADDRESS [URL] | upstream ADDRESS [MILLISECONDS] | verify COUNT | \
     open-loop ADDRESS RATE:SECONDS,… CONNECTIONS";

#[tokio::main]
async fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["serve", address] => serve::serve(address, None).await,
        ["serve", address, url] => serve::serve(address, Some(url)).await,
        ["floor", address] => floor::serve(address, None).await,
        ["floor", address, url] => floor::serve(address, Some(url)).await,
        ["upstream", address] => upstream::serve(address, 0).await,
        ["upstream", address, latency] => upstream::serve(address, latency.parse()?).await,
        ["verify", count] => verify::check(count.parse()?),
        ["open-loop", address, schedule, connections] => {
            open_loop::load(address, schedule, connections.parse()?)
        }
        _ => Err(USAGE.into()),
    }
}
