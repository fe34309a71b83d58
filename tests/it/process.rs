//! The real binary: exit codes, what it prints, how it stops.

pub mod child;
mod commands;
mod serving;
