//! Messages and providers to show.

use crate::clock::Timestamp;
use crate::delivery::{ProviderState, ProviderStatus};
use crate::message::{IndexFields, Loss, QueueId};
use crate::queue::{
    Attempt, Details, Outcome, RecipientState, RecipientStatus, State, Summary, WayKey,
};

/// 10:00 on 21 November 2026.
pub(in crate::http) fn now() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

pub(in crate::http) fn provider(name: &str, state: ProviderState) -> ProviderStatus {
    ProviderStatus { name: name.to_owned(), state, last_success: None, last_error: None }
}

/// A message to two, refused for one of them.
pub(in crate::http) fn failed() -> Details {
    let recipient = |address: &str| RecipientStatus::queued(address.parse().unwrap());
    let summary = Summary {
        id: QueueId::new(now()),
        state: State::Failed,
        received_at: now(),
        sender: Some("app@example.org".parse().unwrap()),
        recipients: vec![
            RecipientStatus { state: RecipientState::Delivered, ..recipient("ada@example.org") },
            RecipientStatus {
                state: RecipientState::Failed,
                reason: Some("no such user".to_owned()),
                ..recipient("bob@example.org")
            },
        ],
        index: IndexFields {
            header_from: "Oratio <app@example.org>".to_owned(),
            subject: "가입을 환영합니다".to_owned(),
            message_id: "1@example.org".to_owned(),
            bulk: false,
        },
        size: 1234,
        user: None,
        provider: Some("resend".to_owned()),
        provider_message_id: None,
        next_attempt_at: None,
        way: WayKey::default(),
        in_doubt: false,
        maybe_at: None,
        error: Some("422: no such user".to_owned()),
    };
    let attempt = Attempt {
        at: now() + std::time::Duration::from_millis(1500),
        provider: "resend".to_owned(),
        outcome: Outcome::Rejected,
        error: Some("422: no such user".to_owned()),
        provider_message_id: None,
        latency_ms: 87,
        recipients: Vec::new(),
        together: Some(1),
        losses: vec![Loss::slight("header X-Odd", "not taken by this API")],
    };
    Details { summary, attempts: vec![attempt], dsn: None, smtp_utf8: false, may_steer: true }
}

/// A message from nobody, without any header, that waits.
pub(in crate::http) fn bounce() -> Summary {
    Summary {
        id: QueueId::new(now()),
        state: State::Queued,
        received_at: now(),
        sender: None,
        recipients: vec![RecipientStatus::queued("ada@example.org".parse().unwrap())],
        index: IndexFields::default(),
        size: 2,
        user: None,
        provider: None,
        provider_message_id: None,
        next_attempt_at: Some(now()),
        way: WayKey::default(),
        in_doubt: false,
        maybe_at: None,
        error: None,
    }
}
