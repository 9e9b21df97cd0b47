//! What of a message a provider does not carry, and that it says so.

use mailferry::config::ProviderKind;
use mailferry::message::Loss;
use mailferry::provider::MessageIdFate;

use crate::described::everything;
use crate::letters::{Sample, awkward, faithful};
use crate::support::nowhere;

const ALL: [ProviderKind; 6] = [
    ProviderKind::Resend,
    ProviderKind::SendGrid,
    ProviderKind::Ses,
    ProviderKind::Mailgun,
    ProviderKind::Postmark,
    ProviderKind::Webhook,
];
/// They get the original bytes, so nothing is left out at all.
const WHOLE: [ProviderKind; 2] = [ProviderKind::Mailgun, ProviderKind::Webhook];
const STRUCTURED: [ProviderKind; 3] =
    [ProviderKind::Resend, ProviderKind::SendGrid, ProviderKind::Postmark];

/// What the calls leave out; `None` when the message is handed back. But for the Date, which Postmark writes itself, and
/// the Message-ID where the service writes its own and the app's goes into References.
fn losses(kind: ProviderKind, sample: &Sample) -> Option<Vec<Loss>> {
    let calls = sample.calls(&*nowhere(kind)).ok()?;
    let all = calls.into_iter().flat_map(|call| call.losses);
    let dated = kind == ProviderKind::Postmark;
    let replaced = nowhere(kind).capabilities().message_id == MessageIdFate::Replaced;
    let expected = |loss: &Loss| {
        (dated && loss.what == "header Date") || (replaced && loss.what == "header Message-ID")
    };
    Some(all.filter(|loss| !expected(loss)).collect())
}

#[test]
fn the_date_is_a_loss_where_the_provider_writes_its_own() {
    let call = faithful()[0].call(&*nowhere(ProviderKind::Postmark));
    assert_eq!(call.losses.len(), 1);
    assert_eq!(call.losses[0].what, "header Date");
}

#[test]
fn messages_that_every_provider_can_carry_lose_nothing() {
    for kind in ALL {
        for sample in faithful() {
            assert_eq!(losses(kind, &sample), Some(Vec::new()), "{kind}: {}", sample.name);
        }
    }
}

/// Mail whose header has fields that no provider can be given as they are.
const FAULTY_HEADERS: [&str; 4] =
    ["duplicate-headers.eml", "from-broken.eml", "py-mixed-charsets.eml", "sloppy.eml"];

#[test]
fn what_travels_as_it_is_loses_nothing_however_awkward() {
    for kind in WHOLE {
        for sample in everything() {
            // `described` names those that are handed back.
            let mut found = losses(kind, &sample).unwrap_or_default();
            // An order that cannot be read is no part of the message.
            found.retain(|loss| !loss.what.starts_with("header X-Mailgun-"));
            if FAULTY_HEADERS.contains(&sample.name.as_str()) {
                assert_ne!(found, [], "{kind}: {}", sample.name);
                found.retain(|loss| loss.grave || !loss.what.starts_with("header "));
            }
            assert_eq!(found, [], "{kind}: {}", sample.name);
        }
    }
}

#[test]
fn what_a_structured_provider_leaves_out_is_named() {
    for kind in STRUCTURED {
        for sample in awkward() {
            let Some(found) = losses(kind, &sample) else {
                // It refuses quoted local parts.
                let what = (kind, sample.name.as_str());
                assert_eq!(what, (ProviderKind::Postmark, "names and domains that need care"));
                continue;
            };
            let expected = match sample.name.as_str() {
                // A group of nobody shows nobody.
                "two hidden recipients alone" => false,
                // An empty body is no content; only Postmark demands some.
                "empty bodies" => kind == ProviderKind::Postmark,
                // Only SendGrid demands that an address stands once.
                "the same address three times" => kind == ProviderKind::SendGrid,
                // Postmark takes a name as often as it stands, and SendGrid's own fields mean nothing to it.
                "headers that may not travel" => kind != ProviderKind::Postmark,
                // Fifty at once, so the others get calls that show nobody else.
                "a hundred and twenty recipients" => kind != ProviderKind::SendGrid,
                _ => true,
            };
            let found: Vec<_> =
                found.into_iter().filter(|loss| loss.what != "the header").collect();
            assert_eq!(!found.is_empty(), expected, "{kind}: {}: {found:?}", sample.name);
        }
    }
}

#[test]
fn a_copy_that_had_to_move_is_the_only_loss_of_a_message_without_to() {
    for kind in STRUCTURED {
        let sample = awkward().into_iter().find(|sample| sample.name == "copy alone").unwrap();
        let what: Vec<_> =
            losses(kind, &sample).unwrap().into_iter().map(|loss| loss.what).collect();
        assert_eq!(what, ["header Cc: the first address is shown in To"], "{kind}");
    }
}

/// What Brevo leaves out of each message that the others carry whole: grave ones have an exclamation mark.
#[test]
fn what_brevo_cannot_carry_is_named_and_weighed() {
    let provider = nowhere(ProviderKind::Brevo);
    // References holds the Message-ID that Brevo replaces, in every message.
    let everywhere = ["header Date", "header Message-ID", "header References"];
    for sample in faithful() {
        let losses = sample.call(&*provider).losses.into_iter();
        let mut found: Vec<_> = losses
            .map(|loss| format!("{}{}", loss.what, if loss.grave { "!" } else { "" }))
            .collect();
        found.retain(|what| !everywhere.contains(&what.as_str()));
        let expected: &[&str] = match sample.name.as_str() {
            "two bodies in Korean" | "html alone" => &[],
            "two reply addresses" => {
                &["a message of text alone", "header Reply-To: 1 of 2 addresses!"]
            }
            "threading and list headers" => {
                &["a message of text alone", "header X-Note", "header In-Reply-To"]
            }
            "an inline image, a Korean file name, an invitation" => &[
                "the inline image \"logo.png\"!",
                "the name of attachment \"보고서 2026.pdf\"",
                "the type \"text/calendar; method=REQUEST\" of attachment \"invite.ics\"",
                "attachment \"blob\"!",
            ],
            _ => &["a message of text alone"],
        };
        assert_eq!(found, expected, "{}", sample.name);
    }
}
