//! Delivery as a whole, over the in-memory store, with providers that play a script and time that does not wait.

mod at_once;
mod failover;
mod outcomes;
mod queue;
pub(in crate::delivery) mod scripted;
