//! What the form of a provider, and the fields that its service writes, do to a message as a whole.

use super::people::loss_of_protection;
use super::{Capabilities, Form, Letter, MessageIdFate};
use crate::message::raw::{losses_of_edits, losses_of_raw};
use crate::message::{Email, Loss};

/// What services that write Message-ID write besides it (SES, "Manual DKIM signing": not to be signed).
const WRITTEN_WITH_MESSAGE_ID: [&str; 4] = ["Message-ID", "Date", "Return-Path", "Bounces-To"];

/// The message as a structured provider should see it, where that is not as it is: with the app's Message-ID in
/// References.
pub(super) fn adapted(email: &Email, provider: &Capabilities) -> Option<Email> {
    if provider.form != Form::Structured || provider.message_id == MessageIdFate::Kept {
        return None;
    }
    let references = email.references_with_own_id()?;
    let mut email = email.clone();
    match email.headers.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case("References")) {
        Some((_, value)) => *value = references,
        None => email.headers.push(("References".to_owned(), references)),
    }
    Some(email)
}

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
            let mut losses = losses_of_edits(letter.raw, email);
            losses.extend(losses_of_raw(letter.raw, email, writes));
            losses
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
    use crate::message::Protection;
    use crate::provider::samples::Sample;
    use crate::provider::{Idempotency, MessageIdFate};

    fn provider(form: Form, message_id: MessageIdFate) -> Capabilities {
        Capabilities {
            form,
            request_bytes_max: 1000,
            recipients_per_call: 1,
            idempotency: Idempotency::None,
            rate: None,
            non_ascii_local_parts: false,
            batch: None,
            message_id,
        }
    }

    #[test]
    fn a_message_id_that_the_service_replaces_goes_into_references() {
        let mut sample = Sample::plain();
        let replaces = provider(Form::Structured, MessageIdFate::Replaced);
        let seen = adapted(&sample.email, &replaces).unwrap();
        let references = ("References".to_owned(), "<1@example.org>".to_owned());
        assert_eq!(seen.headers.last(), Some(&references));
        assert_eq!(losses(&sample.letter(), &replaces), []);

        sample.email.headers.push(("References".to_owned(), "<0@example.org>".to_owned()));
        let seen = adapted(&sample.email, &replaces).unwrap();
        assert_eq!(seen.headers.last().unwrap().1, "<0@example.org> <1@example.org>");

        let keeps = provider(Form::Structured, MessageIdFate::Kept);
        assert_eq!(adapted(&sample.email, &keeps), None);
        assert_eq!(losses(&sample.letter(), &keeps), []);
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
        let field = b"Subject: second\r\nsubject: third\r\n";
        sample.raw = [&field[..], &sample.raw].concat();
        let told = losses(&sample.letter(), &provider(Form::RawMime, MessageIdFate::Kept));
        assert_eq!(told.iter().filter(|it| it.what == "header Subject").count(), 0, "it is signed");
        sample.email.dkim = None;
        let told = losses(&sample.letter(), &provider(Form::RawMime, MessageIdFate::Kept));
        assert_eq!(told.iter().filter(|it| it.what == "header Subject").count(), 1, "{told:?}");
        sample.email.protection = Protection::Signed;
        sample.email.dkim = Some(Default::default());
        let told = losses(&sample.letter(), &provider(Form::Structured, MessageIdFate::Kept));
        assert_eq!(told.len(), 2, "{told:?}");
    }
}
