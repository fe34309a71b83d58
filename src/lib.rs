//! Shoutback: an HTTP API that takes a text, reverses it and returns it in capitals.
//!
//! The capitals come from an external service, SHOUTCLOUD, which is slow, unauthenticated, plain HTTP and sometimes down.
//! Everything around that call (who may make it, what happens when it fails, what can be seen of it) is the product.
//!
//! # Where things are
//!
//! | module | holds |
//! |---|---|
//! | [`config`] | every environment variable: one struct an area, all problems reported at once |
//! | [`app`] | the application: built from the configuration, bound, run, stopped |
//! | [`http`] | two tables of routes, one ordered stack of layers, problems, listeners |
//! | [`auth`] | who may call: Cognito's tokens and keys; knows nothing of HTTP servers |
//! | [`quota`] | how often one client may call |
//! | [`shout`](mod@shout) | the domain: reversal, and a shout made of it; what is kept, shared, and done without the upstream |
//! | [`shoutcloud`] | the client of the upstream, and what counts as a shout |
//! | [`telemetry`] | metrics, logs and traces |
//! | [`outbound`] | what every call that leaves the process has in common |
//! | [`json`] | strict reading of objects that somebody else wrote |
//! | [`lifecycle`] | signals, and how far a stop has come |
//!
//! # The way of a request
//!
//! Connection → request id → metrics, span and log line → room among the requests → panics caught → route and method →
//! `content-length` → token → quota → media types → body → cache → an equal call under way → reversal → deadline → bulkhead →
//! retry → breaker → attempt upstream: send, read the answer, validate the shout.
//!
//! Dependencies point one way: `main → app → http → {auth, quota, shout → shoutcloud} → telemetry::{metrics, trace}, config`.

pub mod app;
pub mod auth;
pub mod config;
pub mod http;
pub mod json;
pub mod lifecycle;
pub mod outbound;
pub mod quota;
pub mod shout;
pub mod shoutcloud;
pub mod telemetry;
pub mod version;
