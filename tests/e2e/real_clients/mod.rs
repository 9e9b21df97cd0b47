//! The clients that people use, over TLS and with AUTH: each in every manner that it can, and in those that must fail.
//!
//! What was tried is the table in `docs/clients.md`: every test here compares its row, and `UPDATE=1` writes it.

mod case;
mod java;
mod lettre;
pub(crate) mod postfix;
mod scripts;
mod table;
mod tools;
mod trial;

pub(crate) use self::lettre::compose;
