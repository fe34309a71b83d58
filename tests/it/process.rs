//! The real binary: exit codes, what it prints, how it stops.

mod child;
mod commands;
mod serving;
