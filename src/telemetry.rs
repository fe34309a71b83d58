//! What can be seen of the service.

pub mod log;
pub mod metrics;
