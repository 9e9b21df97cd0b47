//! What of a message a provider does not carry, and that it says so.

use mailferry::config::ProviderKind;
use mailferry::message::Loss;

use crate::letters::{Sample, awkward, faithful};
use crate::support::nowhere;

const ALL: [ProviderKind; 3] = [ProviderKind::Resend, ProviderKind::SendGrid, ProviderKind::Ses];

fn losses(kind: ProviderKind, sample: &Sample) -> Vec<Loss> {
    let calls = sample.calls(&*nowhere(kind)).unwrap();
    calls.into_iter().flat_map(|call| call.losses).collect()
}

#[test]
fn messages_that_every_provider_can_carry_lose_nothing() {
    for kind in ALL {
        for sample in faithful() {
            assert_eq!(losses(kind, &sample), [], "{kind}: {}", sample.name);
        }
    }
}

#[test]
fn what_a_structured_provider_leaves_out_is_named() {
    for kind in [ProviderKind::Resend, ProviderKind::SendGrid] {
        for sample in awkward() {
            let found = losses(kind, &sample);
            let expected = match sample.name.as_str() {
                // An empty body is no content, and a group of nobody shows nobody.
                "empty bodies" | "two hidden recipients alone" => false,
                // Only SendGrid demands that an address stands once.
                "the same address three times" => kind == ProviderKind::SendGrid,
                // Resend takes fifty at once, so the others get calls that show nobody else.
                "a hundred and twenty recipients" => kind == ProviderKind::Resend,
                _ => true,
            };
            assert_eq!(!found.is_empty(), expected, "{kind}: {}: {found:?}", sample.name);
        }
    }
}

#[test]
fn a_copy_that_had_to_move_is_the_only_loss_of_a_message_without_to() {
    for kind in [ProviderKind::Resend, ProviderKind::SendGrid] {
        let sample = awkward().into_iter().find(|sample| sample.name == "copy alone").unwrap();
        let what: Vec<_> = losses(kind, &sample).into_iter().map(|loss| loss.what).collect();
        assert_eq!(what, ["header Cc: the first address is shown in To"], "{kind}");
    }
}
