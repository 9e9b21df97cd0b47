//! The SMTP envelope: who the message is really from and for.

use serde::{Deserialize, Serialize};

use super::{Address, Dsn, RecipientDsn};

/// Reverse path and forward paths of one transaction (RFC 5321 §2.3.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// `None` is the null reverse path `<>`.
    pub sender: Option<Address>,
    /// At least one; in the order of the RCPT commands.
    pub recipients: Vec<Address>,
    /// The client announced SMTPUTF8 (RFC 6531) for this transaction.
    #[serde(default)]
    pub smtp_utf8: bool,
    /// What the client asked for about delivery status notifications; `None`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dsn: Option<Box<Dsn>>,
}

impl Envelope {
    /// Adds a recipient with what was wished for it.
    pub fn add_recipient(&mut self, recipient: RecipientDsn) {
        self.recipients.push(recipient.address.clone());
        if recipient.notify.is_some() || recipient.original.is_some() {
            self.dsn.get_or_insert_default().recipients.push(recipient);
        }
    }

    /// The sender as log lines and the API show it: empty for `<>`.
    pub fn sender_text(&self) -> &str {
        self.sender.as_ref().map_or("", Address::as_str)
    }
}
