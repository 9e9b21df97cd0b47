//! The header field `Resend-Idempotency-Key`, which Resend's SMTP server makes the key of the request.
//! <https://resend.com/docs/dashboard/emails/idempotency-keys>
//!
//! The app's key is sent as it is, so that one mail leaves although the app hands it in twice, or also by Resend's API.
//! A call for a part of the envelope gets a key of its own: under one key Resend takes one request.

use std::fmt::Write as _;

use aws_lc_rs::digest;

use crate::message::{Address, Loss};
use crate::provider::Letter;

const NAME: &str = "Resend-Idempotency-Key";
/// In characters, all of them ASCII here.
const CHARS_MAX: usize = 256;
/// A hyphen and the beginning of a hash.
const SUFFIX_CHARS: usize = 17;

/// The key of this call, when the app gave one that can be used.
pub(super) fn of(letter: &Letter<'_>, losses: &mut Vec<Loss>) -> Option<String> {
    let options = &letter.email.options;
    let mut given = options.iter().filter(|(name, _)| name.eq_ignore_ascii_case(NAME));
    let key = given.next()?.1.trim();
    if given.next().is_some() {
        let why = "it stands more than once, and only the first counts";
        losses.push(Loss::slight(format!("header {NAME}"), why));
    }
    // It must fit into a header field of the request.
    let valid = (1..=CHARS_MAX).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if !valid {
        let why = "a key has 1 to 256 ASCII characters; mailferry's own is used";
        losses.push(Loss::slight(format!("header {NAME}"), why));
        return None;
    }
    Some(if is_for_everybody(letter) { key.to_owned() } else { of_a_part(key, letter) })
}

/// Whether nobody of the envelope is left for another call.
fn is_for_everybody(letter: &Letter<'_>) -> bool {
    let served: Vec<&str> = letter.addressing.recipients().collect();
    let is_served = |recipient: &Address| served.iter().any(|it| recipient.same_mailbox(it));
    letter.envelope.recipients.iter().all(is_served)
}

/// The same for the same recipients, whenever they are served.
fn of_a_part(key: &str, letter: &Letter<'_>) -> String {
    let mut text = key.to_owned();
    let mut recipients: Vec<_> = letter.addressing.recipients().map(Address::key_of).collect();
    recipients.sort_unstable();
    for recipient in recipients {
        text.push('\n');
        text.push_str(&recipient);
    }
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    let mut key: String = key.chars().take(CHARS_MAX - SUFFIX_CHARS).collect();
    key.push('-');
    for byte in &hash.as_ref()[..8] {
        // Writing to a String does not fail.
        let _ = write!(key, "{byte:02x}");
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Addressing;
    use crate::provider::samples::Sample;

    fn with_keys(keys: &[&str]) -> Sample {
        let mut sample = Sample::rich();
        let option = |key: &&str| ("resend-idempotency-KEY".to_owned(), (*key).to_owned());
        sample.email.options = keys.iter().map(option).collect();
        sample
    }

    fn key_of(sample: &Sample) -> (Option<String>, usize) {
        let mut losses = Vec::new();
        let key = of(&sample.letter(), &mut losses);
        assert!(losses.iter().all(|loss| !loss.grave));
        (key, losses.len())
    }

    #[test]
    fn the_apps_key_is_sent_as_it_is() {
        let longest = "k".repeat(256);
        for key in ["order/1042 confirmed", "k", &longest] {
            assert_eq!(key_of(&with_keys(&[key])), (Some(key.to_owned()), 0));
        }
        assert_eq!(key_of(&with_keys(&[])), (None, 0));
    }

    #[test]
    fn a_key_that_cannot_be_used_is_named() {
        let too_long = "k".repeat(257);
        for key in ["", " ", "열쇠", "a\tb", &too_long] {
            assert_eq!(key_of(&with_keys(&[key])), (None, 1), "{key:?}");
        }
        assert_eq!(key_of(&with_keys(&["first", "second"])), (Some("first".to_owned()), 1));
    }

    #[test]
    fn each_part_of_the_envelope_has_a_key_of_its_own() {
        let mut keys = Vec::new();
        for key in ["k".repeat(256), format!("{}x", "k".repeat(255)), "short".to_owned()] {
            let mut sample = with_keys(&[&key]);
            let Addressing { to, cc, bcc } = sample.addressing.clone();
            let parts = [
                Addressing { to: to.clone(), ..Addressing::default() },
                Addressing { to: cc, ..Addressing::default() },
                Addressing { to, bcc, ..Addressing::default() },
            ];
            for part in parts {
                sample.addressing = part;
                let (made, _) = key_of(&sample);
                assert_eq!(key_of(&sample).0, made, "it is the same at the next attempt");
                let made = made.unwrap();
                assert!(
                    made.len() <= 256 && key.starts_with(made.split('-').next().unwrap()),
                    "{made}"
                );
                keys.push(made);
            }
        }
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 9);
    }

    #[test]
    fn an_envelope_that_repeats_somebody_is_served_as_a_whole() {
        let mut sample = with_keys(&["k"]);
        sample.envelope.recipients.push("jane@EXAMPLE.com".parse().unwrap());
        assert_eq!(key_of(&sample).0.as_deref(), Some("k"));
    }
}
