//! Whose turn it is: the facts by which messages that wait for the same provider share it.

use crate::message::Message;

/// More recipients than this make a message one of many.
const FEW_RECIPIENTS: usize = 10;

/// Senders are told apart by so many shares. Two senders in one share wait for each other, which is one pair in a thousand.
pub(crate) const SHARES: u16 = 1_021;

/// What decides about a message's turn; fixed when it is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Turn {
    /// Nobody waits for it: it is for a list, says that it is bulk, or has many recipients.
    pub bulk: bool,
    /// The share of its sender: the user who sent it, or the envelope's sender; below [`SHARES`].
    pub share: u16,
}

impl Turn {
    /// Of this message.
    pub fn of(message: &Message) -> Self {
        let sender = message.user.as_deref().unwrap_or_else(|| message.envelope.sender_text());
        Self {
            bulk: message.index.bulk || message.envelope.recipients.len() > FEW_RECIPIENTS,
            share: share(sender),
        }
    }
}

/// Always the same for the same name in whatever case: it is kept. FNV-1a, which spreads short texts well.
fn share(name: &str) -> u16 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
        (hash ^ u64::from(octet.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3)
    });
    // The remainder is below SHARES.
    u16::try_from(hash % u64::from(SHARES)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::queue::conformance::message;

    #[test]
    fn the_user_counts_before_the_envelope() {
        let one = message(1);
        let mut other = message(2);
        assert_eq!(Turn::of(&one), Turn::of(&other));
        other.user = Some("LEMMY".to_owned());
        assert_eq!(Turn::of(&one), Turn::of(&other));
        other.user = Some("gitea".to_owned());
        assert_ne!(Turn::of(&one), Turn::of(&other));
        other.user = None;
        other.envelope.sender = None;
        assert!(Turn::of(&other).share < SHARES);
    }

    #[test]
    fn many_recipients_or_the_header_make_a_message_bulk() {
        let mut letter = message(1);
        assert!(!Turn::of(&letter).bulk);
        letter.index.bulk = true;
        assert!(Turn::of(&letter).bulk);
        let recipient = letter.envelope.recipients[0].clone();
        letter.index.bulk = false;
        letter.envelope.recipients = vec![recipient; FEW_RECIPIENTS];
        assert!(!Turn::of(&letter).bulk);
        letter.envelope.recipients.push("eve@example.org".parse().unwrap());
        assert!(Turn::of(&Arc::new(letter)).bulk);
    }
}
