//! mailferry: the SMTP server for apps whose host blocks the mail ports.
//!
//! A message has one way through the code, and the folders are its stations: [`smtp`] takes it, [`queue`] keeps it,
//! [`delivery`] decides when and by whom it leaves, [`provider`] hands it to an email service. [`message`] is what they
//! hand on; [`http`] looks on from the side. `ARCHITECTURE.md` is the map.

#![forbid(unsafe_code)]

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod delivery;
pub mod http;
pub mod message;
pub mod metrics;
pub mod provider;
pub mod queue;
pub mod seal;
pub mod secret;
pub mod shutdown;
pub mod signature;
pub mod smtp;
mod stranger;
pub mod systemd;
pub mod telemetry;
mod whole_file;
