//! Who mail is from and for, as the body of a request names them.

use super::error::Problem;
use super::fields::{LINE_MAX, invalid, line};
use crate::config::SenderConfig;
use crate::message::{Address, Mailbox};

/// An address, or `Name <address>`.
pub(super) fn read(field: &str, text: &str) -> Result<Mailbox, Problem> {
    let text = text.trim();
    let (name, address) = match text.strip_suffix('>').and_then(|rest| rest.split_once('<')) {
        Some((name, address)) => (name.trim(), address),
        None => ("", text),
    };
    let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name);
    named(field, name, address)
}

/// A name and an address; without a name, an empty one.
pub(super) fn named(field: &str, name: &str, address: &str) -> Result<Mailbox, Problem> {
    match address.parse::<Address>() {
        Ok(address) => Ok(Mailbox { name: line(field, name)?, address: address.to_string() }),
        Err(error) => {
            let hint = if address.contains([',', ';']) {
                "; several addresses are given as a list"
            } else {
                ""
            };
            let shown: String = error.to_string().chars().take(LINE_MAX).collect();
            Err(invalid(format!("\"{field}\": {shown}{hint}")))
        }
    }
}

/// The configured From.
pub(super) fn of_sender(sender: &SenderConfig) -> Result<Mailbox, Problem> {
    match &sender.address {
        Some(address) => {
            Ok(Mailbox { name: sender.name.clone(), address: address.as_str().to_owned() })
        }
        None => Err(invalid(
            "\"from\" is missing and no default is set: name it here, or set sender.address \
             (SMTP_FROM_ADDRESS)",
        )),
    }
}
