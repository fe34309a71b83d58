//! Shoutback: an HTTP API that takes a text, reverses it and returns it in upper case.
//!
//! The upper-casing is done by an external service, SHOUTCLOUD, which is slow, unauthenticated, plain HTTP and sometimes down.
//! Everything around that call (who may make it, what happens when it fails, what operators see of it) is the product.
//!
//! # Modules
//!
//! | module | holds |
//! |---|---|
//! | [`config`] | every environment variable: one struct per area, all problems reported at once |
//! | [`app`] | the application: built from the configuration, binds both listeners, runs until it is stopped |
//! | [`http`] | one table of routes, one ordered stack of layers, problems, listeners |
//! | [`auth`] | Cognito's access tokens and keys; does not depend on the HTTP server |
//! | [`quota`] | rate limit per client |
//! | [`shout`](mod@shout) | the domain: reversal, cache, coalescing of calls, local fallback |
//! | [`shoutcloud`] | the client of the upstream and its middleware, and validation of its responses |
//! | [`valkey`] | the state that replicas share |
//! | [`telemetry`] | metrics, logs and traces |
//! | [`outbound`] | what all outbound HTTP clients have in common |
//! | `blocking` | moves long work off the workers of the runtime |
//! | `sync` | locks and atomics of the modules whose interleavings are tested |
//! | [`json`] | strict parsing of JSON objects from other parties |
//! | [`lifecycle`] | signals and the phases of a shutdown |
//! | [`version`] | version and commit of the build |
//!
//! `shoutback dev` is a module of the binary; its emulators of SHOUTCLOUD and Cognito are a crate of their own, `emulators/`.
//!
//! # Request path
//!
//! Connection limit → request id → span, metrics and access log → load shedding → panics caught → route and method →
//! `content-length` → authentication → rate limit → media types → body → cache → coalescing → reversal → deadline → bulkhead →
//! retry → `retry-after` → breaker → attempt upstream: send, read the response, validate the shout.
//!
//! Dependencies point one way: `main → app → http → {auth, quota, shout → {shoutcloud, valkey}} → telemetry → outbound → config`. No two files
//! import each other; the suite `static` checks both.

pub mod app;
pub mod auth;
mod blocking;
pub mod config;
pub mod http;
pub mod json;
pub mod lifecycle;
pub mod outbound;
pub mod quota;
pub mod shout;
pub mod shoutcloud;
mod sync;
pub mod telemetry;
pub mod valkey;
pub mod version;
