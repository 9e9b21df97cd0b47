//! Messages as the HTTP API shows them (SPEC 7), one document per line.

use serde::Serialize;

use crate::clock::Timestamp;
use crate::message::QueueId;
use crate::queue::{Attempt, Details, Page, RecipientStatus, State, StoreError, Summary};

#[derive(Serialize)]
struct MessageJson<'a> {
    id: QueueId,
    state: State,
    received_at: Timestamp,
    from: &'a str,
    recipients: &'a [RecipientStatus],
    header_from: &'a str,
    subject: &'a str,
    message_id: &'a str,
    size: u64,
    user: Option<&'a str>,
    provider: Option<&'a str>,
    provider_message_id: Option<&'a str>,
    next_attempt_at: Option<Timestamp>,
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<&'a [Attempt]>,
}

#[derive(Serialize)]
struct PageJson<'a> {
    messages: Vec<MessageJson<'a>>,
    next: Option<QueueId>,
}

#[derive(Serialize)]
struct ActedJson {
    id: QueueId,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl<'a> MessageJson<'a> {
    fn new(summary: &'a Summary, attempts: Option<&'a [Attempt]>) -> Self {
        Self {
            id: summary.id,
            state: summary.state,
            received_at: summary.received_at,
            from: summary.sender.as_ref().map_or("", crate::message::Address::as_str),
            recipients: &summary.recipients,
            header_from: &summary.index.header_from,
            subject: &summary.index.subject,
            message_id: &summary.index.message_id,
            size: summary.size,
            user: summary.user.as_deref(),
            provider: summary.provider.as_deref(),
            provider_message_id: summary.provider_message_id.as_deref(),
            next_attempt_at: summary.next_attempt_at,
            error: summary.error.as_deref(),
            attempts,
        }
    }
}

pub(super) fn page(page: &Page) -> String {
    let messages = page.messages.iter().map(|summary| MessageJson::new(summary, None)).collect();
    line(&PageJson { messages, next: page.next })
}

pub(super) fn details(details: &Details) -> String {
    line(&MessageJson::new(&details.summary, Some(&details.attempts)))
}

pub(super) fn acted(id: QueueId, error: Option<&StoreError>) -> String {
    line(&ActedJson { id, ok: error.is_none(), error: error.map(ToString::to_string) })
}

#[expect(clippy::expect_used, reason = "structs of texts, numbers and times always serialise")]
fn line(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string(value).expect("a plain struct");
    text.push('\n');
    text
}
