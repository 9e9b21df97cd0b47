//! From the bytes to the [`Email`] that structured providers use.

mod attachments;
mod bodies;
mod flowed;
pub(super) mod headers;
mod names;
mod references;

use super::mime::charset::Fault;
use super::mime::structure::{Nested, Structure};
use super::{DkimSignature, Email, Loss, Protection};

/// How many losses are told.
const LOSSES_MAX: usize = 100;

impl Email {
    /// Reads any bytes as a message. Never fails: what cannot be read is a loss.
    pub fn parse(raw: &[u8]) -> Self {
        let mut structure = Structure::read(raw, Nested::Closed);
        let mut email = Self {
            protection: protection(&structure),
            dkim: DkimSignature::of_message(raw),
            losses: std::mem::take(&mut structure.losses),
            ..Self::default()
        };
        headers::read(raw, structure.hint.as_deref(), &mut email);
        let shown = bodies::read(raw, &structure, &mut email);
        attachments::read(raw, &structure, &shown, &mut email);
        if let Some(report) = structure.parts.iter().find(|part| part.is("multipart/report")) {
            email.lose(
                report.label(),
                "an API builds the message anew: programs will not read it as a report",
            );
        }
        if let Some(fragment) = structure.parts.iter().find(|part| part.is("message/partial")) {
            email.note(Loss::grave(
                fragment.label(),
                "a piece of a message is only a file to an API: mail programs will not join the pieces",
            ));
        }
        email
    }

    fn lose(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.note(Loss::slight(what.into(), why.into()));
    }

    fn lose_by(&mut self, what: impl Into<String>, fault: Fault) {
        self.note(Loss { what: what.into(), why: fault.why.to_owned(), grave: fault.grave });
    }

    /// Each loss once, and no more than a person would read; a grave one is always among them.
    fn note(&mut self, loss: Loss) {
        let first_grave = loss.grave && !self.losses.iter().any(|known| known.grave);
        if (self.losses.len() < LOSSES_MAX || first_grave) && !self.losses.contains(&loss) {
            self.losses.push(loss);
        }
    }
}

/// What an API must not rebuild, wherever in the message it stands. Encryption outweighs a signature.
fn protection(structure: &Structure) -> Protection {
    let mut protection = Protection::None;
    for part in &structure.parts {
        match part.media.value.as_str() {
            "multipart/encrypted" => return Protection::Encrypted,
            "multipart/signed" => protection = Protection::Signed,
            "application/pkcs7-mime" | "application/x-pkcs7-mime" => {
                match part.media.param("smime-type").map(str::to_ascii_lowercase).as_deref() {
                    Some("signed-data" | "certs-only") => protection = Protection::Signed,
                    // Without the parameter it is enveloped data (RFC 2311); compressed data is as opaque.
                    Some(_) | None => return Protection::Encrypted,
                }
            }
            _ => {}
        }
    }
    protection
}
