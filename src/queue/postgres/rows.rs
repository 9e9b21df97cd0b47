//! Between rows and types.

use std::borrow::Cow;
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::message::{Address, Dsn, IndexFields, QueueId};
use crate::queue::columns;
pub(super) use crate::queue::columns::{millis, nearest_time, signed};
use crate::queue::{Attempt, Outcome, RecipientStatus, State, StoreError, Summary, WayKey};

/// A record that makes no sense. It is nobody else's trouble.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unreadable(String);

impl Unreadable {
    /// For this reason.
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl From<Unreadable> for StoreError {
    fn from(error: Unreadable) -> Self {
        Self::Unavailable(format!("a record cannot be read: {error}"))
    }
}

/// An id as a parameter.
pub(super) fn uuid(id: QueueId) -> Uuid {
    Uuid::from_bytes(*id.as_bytes())
}

/// A text as a parameter: the database takes any character but NUL.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// The columns that [`summary`] reads, in its order.
pub(super) const SUMMARY_COLUMNS: &str = "m.id, m.state, m.received_at, m.sender, m.recipients, m.header_from, \
     m.subject, m.message_id, m.size, m.\"user\", m.provider, m.provider_message_id, m.due_at, m.error, \
     m.way, m.begun_by";

/// A message as lists show it. Addresses that cannot be read are left out: nothing must hide the other messages.
pub(super) fn summary(row: &Row) -> Result<Summary, Unreadable> {
    let state = state(row, 1)?;
    // Of a message on its way, this is the call that is being made.
    let maybe_at: Option<String> = get(row, 15)?;
    let maybe_at = maybe_at.filter(|_| state != State::Sending);
    Ok(Summary {
        id: id(row, 0)?,
        state,
        received_at: time(row, 2)?,
        sender: sender(row, 3).unwrap_or_default(),
        recipients: json(row, 4).unwrap_or_default(),
        index: IndexFields {
            header_from: get(row, 5)?,
            subject: get(row, 6)?,
            message_id: get(row, 7)?,
            bulk: false,
        },
        size: unsigned(row, 8)?,
        user: get(row, 9)?,
        provider: get(row, 10)?,
        provider_message_id: get(row, 11)?,
        next_attempt_at: (state == State::Queued).then(|| time(row, 12)).transpose()?,
        error: get(row, 13)?,
        way: way(row, 14)?,
        in_doubt: maybe_at.is_some(),
        maybe_at,
    })
}

/// What was asked for about notifications, in this column. It hides nothing either.
pub(super) fn wishes(row: &Row, column: usize) -> Option<Box<Dsn>> {
    json_or_none(row, column).ok().flatten().map(Box::new)
}

/// The columns that [`attempt`] reads, in its order.
pub(super) const ATTEMPT_COLUMNS: &str =
    "at, provider, outcome, error, provider_message_id, latency_ms, recipients, losses, together";

/// One recorded call.
pub(super) fn attempt(row: &Row) -> Result<Attempt, Unreadable> {
    let together: Option<i32> = get(row, 8)?;
    Ok(Attempt {
        at: time(row, 0)?,
        provider: get(row, 1)?,
        outcome: outcome(get(row, 2)?)?,
        error: get(row, 3)?,
        provider_message_id: get(row, 4)?,
        latency_ms: unsigned(row, 5)?,
        recipients: json_or_none(row, 6)?.unwrap_or_default(),
        losses: json_or_none(row, 7)?.unwrap_or_default(),
        together: together.and_then(|together| u32::try_from(together).ok()),
    })
}

/// What stands in this column, when it is of this type.
pub(super) fn get<'r, T: FromSql<'r>>(row: &'r Row, column: usize) -> Result<T, Unreadable> {
    row.try_get(column).map_err(|error| Unreadable(error.to_string()))
}

pub(super) fn id(row: &Row, column: usize) -> Result<QueueId, Unreadable> {
    let id: Uuid = get(row, column)?;
    Ok(QueueId::from_bytes(*id.as_bytes()))
}

pub(super) fn way(row: &Row, column: usize) -> Result<WayKey, Unreadable> {
    get(row, column).map(WayKey::from_text)
}

pub(super) fn state(row: &Row, column: usize) -> Result<State, Unreadable> {
    let number: i16 = get(row, column)?;
    u8::try_from(number).ok().and_then(columns::state).ok_or_else(|| unreadable("a state", number))
}

pub(super) fn outcome(name: &str) -> Result<Outcome, Unreadable> {
    Outcome::from_name(name).ok_or_else(|| unreadable("an outcome", name))
}

pub(super) fn time(row: &Row, column: usize) -> Result<Timestamp, Unreadable> {
    let millis: i64 = get(row, column)?;
    Timestamp::from_millisecond(millis).map_err(|_| unreadable("a time", millis))
}

pub(super) fn unsigned(row: &Row, column: usize) -> Result<u64, Unreadable> {
    let number: i64 = get(row, column)?;
    u64::try_from(number).map_err(|_| unreadable("a count", number))
}

/// A text that reads as what it should be.
pub(super) fn parsed<T: FromStr>(
    row: &Row,
    column: usize,
    what: &'static str,
) -> Result<T, Unreadable> {
    let text: &str = get(row, column)?;
    text.parse().map_err(|_| unreadable(what, text))
}

pub(super) fn sender(row: &Row, column: usize) -> Result<Option<Address>, Unreadable> {
    let text: Option<&str> = get(row, column)?;
    text.map(|text| text.parse().map_err(|_| unreadable("an address", text))).transpose()
}

pub(super) fn json<T: DeserializeOwned>(row: &Row, column: usize) -> Result<T, Unreadable> {
    from_json(get(row, column)?)
}

pub(super) fn json_or_none<T: DeserializeOwned>(
    row: &Row,
    column: usize,
) -> Result<Option<T>, Unreadable> {
    let text: Option<&str> = get(row, column)?;
    text.map(from_json).transpose()
}

fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, Unreadable> {
    serde_json::from_str(text).map_err(|error| Unreadable(error.to_string()))
}

/// Recipients as they are stored.
pub(super) fn recipients_json(recipients: &[RecipientStatus]) -> Result<String, StoreError> {
    to_json(&recipients)
}

/// Recipients of a message that has just come in.
pub(super) fn waiting_json(addresses: &[Address]) -> Result<String, StoreError> {
    columns::waiting_json(addresses).map_err(unwritable)
}

/// A list as it is stored: nothing when it is empty.
pub(super) fn list_json<T: Serialize>(list: &[T]) -> Result<Option<String>, StoreError> {
    columns::list_json(list).map_err(unwritable)
}

pub(super) fn to_json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    columns::to_json(value).map_err(unwritable)
}

/// For those who write many at a time, and could not say which of them is at fault.
#[expect(clippy::expect_used, reason = "what the columns hold are lists, texts and numbers")]
pub(super) fn sure<T>(json: Result<T, StoreError>) -> T {
    json.expect("all of it can be written as JSON")
}

#[expect(clippy::needless_pass_by_value, reason = "it stands behind map_err")]
fn unwritable(error: serde_json::Error) -> StoreError {
    StoreError::Unavailable(format!("a record cannot be written: {error}"))
}

fn unreadable(what: &str, value: impl std::fmt::Display) -> Unreadable {
    Unreadable(format!("{value} is not {what}"))
}
