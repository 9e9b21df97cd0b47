//! Messages made here: test mails, the command line, the API.

use super::{Attachment, Mailbox, Submission};
use crate::clock::Timestamp;

/// A message to be composed.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    pub from: Mailbox,
    pub to: Vec<Mailbox>,
    pub subject: String,
    pub text: Option<String>,
    pub html: Option<String>,
    pub attachments: Vec<Attachment>,
}

/// What is wrong with a draft.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidDraft(pub String);

impl Draft {
    /// Writes the message as MIME with Date and Message-ID, addressed to everybody in `to`.
    pub fn compose(self, now: Timestamp) -> Result<Submission, InvalidDraft> {
        let _ = now;
        Err(InvalidDraft(String::new()))
    }
}
