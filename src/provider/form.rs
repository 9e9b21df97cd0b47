//! What the form of a provider, and the fields that its service writes, do to a message as a whole.

use super::people::loss_of_protection;
use super::{Capabilities, Form, Letter, MessageIdFate};
use crate::message::Loss;
use crate::message::raw::losses_of_raw;

/// What services that write Message-ID write besides it (SES, "Manual DKIM signing": not to be signed).
const WRITTEN_WITH_MESSAGE_ID: [&str; 4] = ["Message-ID", "Date", "Return-Path", "Bounces-To"];

/// What every message loses at such a provider, whatever its API has fields for.
pub(super) fn losses(letter: &Letter<'_>, provider: &Capabilities) -> Vec<Loss> {
    let email = letter.email;
    let mut losses = match provider.form {
        Form::Structured => loss_of_protection(email),
        Form::RawMime => {
            let writes: &[&str] = match provider.message_id {
                MessageIdFate::Kept => &[],
                MessageIdFate::Replaced => &WRITTEN_WITH_MESSAGE_ID,
            };
            losses_of_raw(letter.raw, email, writes)
        }
    };
    // Elsewhere it stands in References, and nothing is lost.
    let untouched = provider.form == Form::RawMime && email.is_signed_or_encrypted();
    let has_id = || email.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("Message-ID"));
    if untouched && provider.message_id == MessageIdFate::Replaced && has_id() {
        let why = "the service writes its own, and the References of signed mail are not touched";
        losses.push(Loss::slight("header Message-ID", why));
    }
    losses
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Email, Protection};
    use crate::provider::samples::Sample;
    use crate::provider::{Idempotency, MessageIdFate, QuotaDay};

    fn provider(form: Form, message_id: MessageIdFate) -> Capabilities {
        Capabilities {
            form,
            request_bytes_max: 1000,
            recipients_per_call: 1,
            idempotency: Idempotency::None,
            rate: None,
            quota_day: QuotaDay::Utc,
            non_ascii_local_parts: false,
            batch: None,
            message_id,
        }
    }

    #[test]
    fn a_message_id_that_stands_in_references_is_not_lost() {
        let sample = Sample::plain();
        for fate in [MessageIdFate::Kept, MessageIdFate::Replaced] {
            assert_eq!(losses(&sample.letter(), &provider(Form::Structured, fate)), []);
        }
    }

    #[test]
    fn a_dkim_signature_is_a_grave_loss_at_structured_providers_only() {
        let mut sample = Sample::plain();
        let header = "DKIM-Signature: v=1; h=from:subject:date; b=x\r\n";
        sample.raw = [header.as_bytes(), &sample.raw].concat();
        sample.email = Email::parse(&sample.raw);
        for (form, fate, grave) in [
            (Form::Structured, MessageIdFate::Kept, true),
            (Form::RawMime, MessageIdFate::Kept, false),
            (Form::RawMime, MessageIdFate::Replaced, false),
        ] {
            let told = losses(&sample.letter(), &provider(form, fate));
            assert_eq!(told.iter().any(|loss| loss.grave), grave, "{form:?} {fate:?} {told:?}");
        }
        sample.email.protection = Protection::Signed;
        let told = losses(&sample.letter(), &provider(Form::Structured, MessageIdFate::Kept));
        assert_eq!(told.len(), 2, "{told:?}");
    }
}
