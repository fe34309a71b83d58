//! Layers around every route: HTTP adapters without rules of their own.

pub(super) mod access_log;
pub(super) mod hooks;
pub(super) mod load_shed;
pub(super) mod request_id;
pub(super) mod server_span;
