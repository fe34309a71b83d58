//! The real application on port 0, against real sockets and fakes that can misbehave.

#![allow(unreachable_pub, reason = "a test binary exports nothing")]

mod admin;
mod api;
mod keys;
mod openapi;
mod process;
mod support;
mod tls;
mod tokens;
mod upstream;
