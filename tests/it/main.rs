//! The real application on port 0, against real sockets and fakes that can misbehave.

#![allow(unreachable_pub, reason = "a test binary exports nothing")]
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise; clippy.toml allows it in the functions marked as tests alone"
)]

mod admin;
mod api;
mod cache;
mod docs;
mod keys;
mod limits;
mod logs;
mod openapi;
mod process;
mod shutdown;
mod support;
mod tls;
mod tokens;
mod traces;
mod uppercase;
mod upstream;
