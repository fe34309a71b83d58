//! Emulators of the two services that Shoutback calls: [`shoutcloud`], its upstream, and [`cognito`], which issues the
//! access tokens of its callers.
//!
//! Each emulator is a server in the caller's process that serves until its handle is dropped. They differ from mocks in
//! that they speak HTTP on a real socket and reproduce the quirks of the real services.
//!
//! Bind them to loopback only: they issue tokens without a password, and every client can change their behaviour.
//! Shoutback depends on this crate only with its feature `dev`, which the production image is built without.

pub mod cognito;
mod server;
pub mod shoutcloud;
