//! Several instances of the real program on one PostgreSQL queue: killed, stopped, cut off, with clocks that differ and a
//! database that goes away. What counts is what the fake provider has got.
//!
//! Each test has a PostgreSQL server of its own, from Debian's packages. What is drawn by chance comes from a seed, which
//! every failure names; `MAILFERRY_TEST_SEED` repeats it, and `MAILFERRY_SCALE_ROUNDS` makes it longer.

#![cfg(test)]

#[path = "../support/cut.rs"]
mod cut;
#[expect(dead_code, reason = "shared with others, who use the rest")]
#[path = "../support/postgres.rs"]
mod postgres;
#[expect(dead_code, unused_imports, reason = "shared with the suite e2e, which uses the rest")]
#[path = "../support/mod.rs"]
mod support;

mod balancer;
mod fleet;
mod ledger;
mod load;

mod clocks;
mod database;
mod harness;
mod kills;
mod limits;
mod network;
mod rolling;
mod together;
mod zombie;
