//! The real binary: exit codes, output, shutdown.

pub mod child;
mod commands;
mod serving;
