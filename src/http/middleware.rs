//! What a request passes on its way: adapters without rules of their own.

pub(super) mod account;
mod around;
pub(super) mod identify;
pub(super) mod in_flight;
pub(super) mod trace;

pub(super) use self::around::around;
