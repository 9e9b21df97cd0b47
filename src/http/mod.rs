//! The HTTP side: health, API and page, beside a message's way and never on it.
//!
//! [`access`] decides who may ask what, in plain functions. [`server`] holds the sockets and their limits, [`routes`] says
//! which handler answers what, and [`door`] who gets to it. The handlers look at the queue and at delivery;
//! nobody imports this module but `app`.
//!
//! [`access`]: self::access
//! [`door`]: self::door
//! [`server`]: self::server
//! [`routes`]: self::routes

mod access;
mod act;
mod api;
mod body;
mod content;
mod door;
mod error;
mod fields;
mod filter;
mod form;
mod headers;
mod health;
mod html;
mod json;
mod limiter;
mod live;
mod login;
mod mailbox;
mod metrics;
mod openapi;
mod page;
mod patient;
mod query;
mod request;
mod retry_input;
mod routes;
mod server;
mod side;
mod stats;
mod submit;
mod submit_doc;
mod submit_input;
mod suppressions;
mod test_input;
mod test_mail;
#[cfg(test)]
mod tests;

pub use json::{MessageJson, PageJson};
pub use server::{Control, Server, bind};
pub use side::{Side, SmtpStatus};
