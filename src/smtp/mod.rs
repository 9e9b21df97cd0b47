//! The SMTP station: takes messages from apps and hands them to an [`Intake`](crate::queue::Intake).
//!
//! `command`, `path`, `parameters`, `dsn`, `reply`, `session`, `input`, `body` and all but one function of
//! `proxy` are pure: no socket, no clock, nothing async. They decide, and are tested as dialogues in memory. `listener`,
//! `control`, `sockets`, `door`, `admission`, `connection`, `auth`, `tls`, `timer`, `memory` and `occasional` act.
//!
//! Who may send is decided in `session::auth`; what is offered to a client is the one list in `session` that answers EHLO;
//! `connection` serves any stream.

mod admission;
pub mod auth;
mod body;
mod command;
mod connection;
mod control;
mod door;
mod dsn;
mod input;
mod listener;
mod memory;
mod occasional;
mod parameters;
mod path;
mod proxy;
mod reply;
mod session;
mod sockets;
#[cfg(test)]
mod testing;
mod timer;
pub mod tls;

pub use body::{Body, Content, Fed, Kept};
pub use command::{Command, Fault};
pub use connection::{Service, serve};
pub use control::{Control, Rules};
pub use input::{AUTH_LINE_MAX, COMMAND_LINE_MAX, Input, Line};
pub use listener::{BindError, Listener};
pub use memory::{MemoryBudget, Reservation};
pub use parameters::MailParameters;
pub use proxy::{Fault as ProxyFault, Header as ProxyHeader, Origin, Taken};
pub use reply::{Enhanced, Reply};
pub use session::{Chunk, ChunkFate, Peer, Policy, Session, Step, TlsRule, Transaction};
pub use sockets::Inherited;
