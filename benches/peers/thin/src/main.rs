//! What the service is measured against, and by:
//!
//! - `thin serve ADDRESS`: reverses, capitalises and answers; nothing else;
//! - `thin serve ADDRESS URL`: reverses, has SHOUTCLOUD at URL capitalise, and answers;
//! - `thin upstream ADDRESS`: SHOUTCLOUD;
//! - `thin verify COUNT`: so many RS256 signature checks; a token and a key set on stdin;
//! - `thin steady ADDRESS RATE SECONDS CONNECTIONS`: so many requests a second, however long each takes; the request on stdin.

mod serve;
mod steady;
mod upstream;
mod verify;

use std::error::Error;

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

const USAGE: &str = "usage: thin serve ADDRESS [URL] | upstream ADDRESS | verify COUNT | steady ADDRESS RATE SECONDS CONNECTIONS";

#[tokio::main]
async fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["serve", address] => serve::serve(address, None).await,
        ["serve", address, url] => serve::serve(address, Some(url)).await,
        ["upstream", address] => upstream::serve(address).await,
        ["verify", count] => verify::check(count.parse()?),
        ["steady", address, rate, seconds, connections] => {
            steady::load(address, rate.parse()?, seconds.parse()?, connections.parse()?)
        }
        _ => Err(USAGE.into()),
    }
}
