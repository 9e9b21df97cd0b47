//! A message in the API (SPEC 7); the command line's `--json` shows the same.

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::message::{Address, Dsn, Loss, QueueId};
use crate::queue::{
    Attempt, Details, Outcome, Page, RecipientState, RecipientStatus, State, Summary,
};

/// `{"messages": [...], "next": cursor or null}`.
#[derive(Debug, Serialize)]
pub struct PageJson<'a> {
    messages: Vec<MessageJson<'a>>,
    next: Option<QueueId>,
}

/// One message; the list leaves the attempts out.
#[derive(Debug, Serialize)]
pub struct MessageJson<'a> {
    id: QueueId,
    state: State,
    received_at: Time,
    from: Option<&'a Address>,
    recipients: Vec<RecipientJson<'a>>,
    header_from: Option<&'a str>,
    subject: Option<&'a str>,
    message_id: Option<&'a str>,
    size: u64,
    user: Option<&'a str>,
    route: Option<&'a str>,
    provider: Option<&'a str>,
    provider_message_id: Option<&'a str>,
    next_attempt_at: Option<Time>,
    error: Option<&'a str>,
    /// Nobody knows whether its last call has brought it.
    in_doubt: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<Vec<AttemptJson<'a>>>,
    /// What the client asked for about delivery status notifications; none is generated from it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    dsn: Option<&'a Dsn>,
}

#[derive(Debug, Serialize)]
struct RecipientJson<'a> {
    address: &'a Address,
    state: RecipientState,
    reason: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct AttemptJson<'a> {
    at: Time,
    provider: &'a str,
    outcome: Outcome,
    error: Option<&'a str>,
    provider_message_id: Option<&'a str>,
    latency_ms: u64,
    losses: &'a [Loss],
}

/// What the API's description says of [`State`].
#[derive(Debug, ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only the document is made from it")]
pub(super) enum StateJson {
    Queued,
    Sending,
    Delivered,
    Failed,
    Cancelled,
}

/// A time as RFC 3339 in UTC, to the millisecond: the same length everywhere, so that texts sort as times do.
#[derive(Clone, Copy, Debug, ToSchema)]
#[schema(value_type = String, format = "date-time", example = "2026-11-21T10:00:00.000Z")]
pub(super) struct Time(pub(super) Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:.3}", self.0))
    }
}

impl<'a> From<&'a Page> for PageJson<'a> {
    fn from(page: &'a Page) -> Self {
        Self { messages: page.messages.iter().map(MessageJson::from).collect(), next: page.next }
    }
}

impl<'a> From<&'a Details> for MessageJson<'a> {
    fn from(details: &'a Details) -> Self {
        let attempts = details.attempts.iter().map(AttemptJson::from).collect();
        let dsn = details.dsn.as_deref();
        Self { attempts: Some(attempts), dsn, ..Self::from(&details.summary) }
    }
}

impl<'a> From<&'a Summary> for MessageJson<'a> {
    fn from(summary: &'a Summary) -> Self {
        Self {
            id: summary.id,
            state: summary.state,
            received_at: Time(summary.received_at),
            from: summary.sender.as_ref(),
            recipients: summary.recipients.iter().map(RecipientJson::from).collect(),
            header_from: present(&summary.index.header_from),
            subject: present(&summary.index.subject),
            message_id: present(&summary.index.message_id),
            size: summary.size,
            user: summary.user.as_deref(),
            route: present(summary.way.name()),
            provider: summary.provider.as_deref(),
            provider_message_id: summary.provider_message_id.as_deref(),
            next_attempt_at: summary.next_attempt_at.map(Time),
            error: summary.error.as_deref(),
            in_doubt: summary.in_doubt,
            attempts: None,
            dsn: None,
        }
    }
}

impl<'a> From<&'a RecipientStatus> for RecipientJson<'a> {
    fn from(recipient: &'a RecipientStatus) -> Self {
        Self {
            address: &recipient.address,
            state: recipient.state,
            reason: recipient.reason.as_deref(),
        }
    }
}

impl<'a> From<&'a Attempt> for AttemptJson<'a> {
    fn from(attempt: &'a Attempt) -> Self {
        Self {
            at: Time(attempt.at),
            provider: &attempt.provider,
            outcome: attempt.outcome,
            error: attempt.error.as_deref(),
            provider_message_id: attempt.provider_message_id.as_deref(),
            latency_ms: attempt.latency_ms,
            losses: &attempt.losses,
        }
    }
}

/// The index keeps absent fields as empty texts.
fn present(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::http::tests::sample;
    use crate::message::{Notify, RecipientDsn, Ret};

    #[test]
    fn a_message_has_every_field_of_the_contract() {
        let details = sample::failed();
        let value = serde_json::to_value(MessageJson::from(&details)).unwrap();
        assert_eq!(
            value,
            json!({
                "id": details.summary.id.to_string(),
                "state": "failed",
                "received_at": "2026-11-21T10:00:00.000Z",
                "from": "app@example.org",
                "recipients": [
                    { "address": "ada@example.org", "state": "delivered", "reason": null },
                    { "address": "bob@example.org", "state": "failed", "reason": "no such user" },
                ],
                "header_from": "Oratio <app@example.org>",
                "subject": "가입을 환영합니다",
                "message_id": "1@example.org",
                "size": 1234,
                "user": null,
                "route": null,
                "provider": "resend",
                "provider_message_id": null,
                "next_attempt_at": null,
                "error": "422: no such user",
                "in_doubt": false,
                "attempts": [{
                    "at": "2026-11-21T10:00:01.500Z",
                    "provider": "resend",
                    "outcome": "rejected",
                    "error": "422: no such user",
                    "provider_message_id": null,
                    "latency_ms": 87,
                    "losses": [{ "what": "header X-Odd", "why": "not taken by this API", "grave": false }],
                }],
            })
        );
    }

    #[test]
    fn wishes_about_notifications_are_there_when_there_are_some() {
        let mut details = sample::failed();
        let bob = "bob@example.org".parse::<Address>().unwrap();
        details.dsn = Some(Box::new(Dsn {
            ret: Some(Ret::Full),
            envelope_id: Some("a \"b\"".to_owned()),
            recipients: vec![RecipientDsn { notify: Some(vec![Notify::Delay]), ..bob.into() }],
        }));
        let value = serde_json::to_value(MessageJson::from(&details)).unwrap();
        assert_eq!(
            value["dsn"],
            json!({
                "ret": "full",
                "envelope_id": "a \"b\"",
                "recipients": [{ "address": "bob@example.org", "notify": ["delay"] }],
            })
        );
    }

    #[test]
    fn a_list_has_no_attempts_and_absent_values_are_null() {
        let page = Page { messages: vec![sample::bounce()], next: None };
        let value = serde_json::to_value(PageJson::from(&page)).unwrap();
        assert_eq!(value["next"], json!(null));
        let message = &value["messages"][0];
        for field in ["from", "header_from", "subject", "message_id", "provider", "error"] {
            assert_eq!(message.get(field), Some(&json!(null)), "{field}");
        }
        assert_eq!(message.get("attempts"), None);
        assert_eq!(message["next_attempt_at"], json!("2026-11-21T10:00:00.000Z"));
    }
}
