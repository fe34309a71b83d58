//! Compiles the Rust example of `/docs` as an example of this package. It is short, so it does not follow the package's lints.

#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "an example for readers of /docs, with other rules"
)]

include!("../../../src/http/docs/examples/shout.rs");
