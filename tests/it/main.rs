//! Integration tests: the real application on port 0, with real sockets and fakes that can fail.

#![allow(unreachable_pub, reason = "a test binary exports nothing")]
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests may panic; clippy.toml allows it only in functions marked as tests"
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
mod valkey;
