//! What a request passes on its way: adapters without rules of their own.

pub(super) mod account;
pub(super) mod authenticate;
pub(super) mod content_length;
pub(super) mod identify;
pub(super) mod in_flight;
pub(super) mod quota;
