//! Version and build information, set by `build.rs`.

/// The version in `Cargo.toml`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The version with the first 12 digits of the commit as build metadata, such as `0.1.0+212c88bc14d1`; without them if the
/// commit is unknown.
pub const RELEASE: &str = env!("SHOUTBACK_RELEASE");
/// The full git commit SHA, or `unknown` for a build outside a checkout.
pub const COMMIT: &str = env!("SHOUTBACK_COMMIT");
/// The build time: RFC 3339, UTC.
pub const TIME: &str = env!("SHOUTBACK_BUILD_TIME");
/// The version of the compiler.
pub const RUSTC: &str = env!("SHOUTBACK_RUSTC");
