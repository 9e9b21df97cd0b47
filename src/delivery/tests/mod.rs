//! Delivery as a whole, over the in-memory store, with providers that play a script and time that does not wait.

mod accounts;
mod at_once;
mod batches;
mod chaos;
mod counting;
mod doubts;
mod failover;
mod fairness;
mod held;
mod known;
mod limits;
mod losses;
mod notices;
mod operator;
mod outcomes;
mod queue;
mod reload;
mod room;
mod routes;
pub(in crate::delivery) mod scripted;
mod several;
mod shown;
mod slots;
mod steering;
mod suppressed;
mod together;
mod ways;
