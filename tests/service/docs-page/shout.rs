//! The page's example in Rust, as an example of this package: for a page it is short, and so not as this package's code is.

#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "the page's readers have other rules"
)]

include!("../../../src/http/docs/examples/shout.rs");
