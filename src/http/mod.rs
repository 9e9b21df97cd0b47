//! The HTTP side: health, API and page, beside a message's way and never on it.
//!
//! [`access`] decides who may ask what, in plain functions. [`server`] holds the sockets and their limits, [`routes`] says
//! which handler answers what and which of them stand behind the door. The handlers look at the queue and at delivery;
//! nobody imports this module but `app`.
//!
//! [`access`]: self::access
//! [`server`]: self::server
//! [`routes`]: self::routes

mod access;
mod act;
mod api;
mod body;
mod content;
mod error;
mod filter;
mod health;
mod html;
mod json;
mod limiter;
mod live;
mod metrics;
mod page;
mod retry_input;
mod routes;
mod server;
mod side;
mod test_input;
mod test_mail;
#[cfg(test)]
mod tests;

pub use json::{MessageJson, PageJson};
pub use server::{Control, Server, bind};
pub use side::{Side, SmtpStatus};
