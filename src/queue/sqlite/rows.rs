//! Between rows and types.

use std::str::FromStr;

use bytes::Bytes;
use rusqlite::types::{FromSqlError, ToSqlOutput, Type, ValueRef};
use rusqlite::{Row, ToSql};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::Timestamp;
use crate::message::{Address, Dsn, IndexFields, QueueId};
pub(super) use crate::queue::columns::{millis, nearest_time, signed};
use crate::queue::{Attempt, Outcome, RecipientStatus, State, Summary, WayKey, columns};

/// An id as a parameter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Id(pub(super) QueueId);

impl ToSql for Id {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.0.as_bytes())))
    }
}

/// The columns that [`summary`] reads, in its order.
pub(super) const SUMMARY_COLUMNS: &str = "m.id, m.state, m.received_at, m.sender, m.recipients, m.header_from, \
     m.subject, m.message_id, m.size, m.user, m.provider, m.provider_message_id, m.due_at, m.error, \
     m.way, m.begun_by";

/// A message as lists show it. Addresses that cannot be read are left out: nothing must hide the other messages.
pub(super) fn summary(row: &Row<'_>) -> rusqlite::Result<Summary> {
    let state = state(row, 1)?;
    // Of a message on its way, this is the call that is being made.
    let maybe_at: Option<String> = row.get(15)?;
    let maybe_at = maybe_at.filter(|_| state != State::Sending);
    Ok(Summary {
        id: id(row, 0)?,
        state,
        received_at: time(row, 2)?,
        sender: sender(row, 3).unwrap_or_default(),
        recipients: json(row, 4).unwrap_or_default(),
        index: IndexFields {
            header_from: row.get(5)?,
            subject: row.get(6)?,
            message_id: row.get(7)?,
            bulk: false,
        },
        size: unsigned(row, 8)?,
        user: row.get(9)?,
        provider: row.get(10)?,
        provider_message_id: row.get(11)?,
        next_attempt_at: (state == State::Queued).then(|| time(row, 12)).transpose()?,
        error: row.get(13)?,
        way: way(row, 14)?,
        in_doubt: maybe_at.is_some(),
        maybe_at,
    })
}

/// What was asked for about notifications, in the column behind those of [`summary`]. It hides nothing either.
pub(super) fn wishes(row: &Row<'_>) -> Option<Box<Dsn>> {
    json_or_none(row, 16).ok().flatten().map(Box::new)
}

/// The columns that [`attempt`] reads, in its order.
pub(super) const ATTEMPT_COLUMNS: &str =
    "at, provider, outcome, error, provider_message_id, latency_ms, recipients, losses, together";

/// One recorded call.
pub(super) fn attempt(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    Ok(Attempt {
        at: time(row, 0)?,
        provider: row.get(1)?,
        outcome: outcome(row, 2)?,
        error: row.get(3)?,
        provider_message_id: row.get(4)?,
        latency_ms: unsigned(row, 5)?,
        recipients: json_or_empty(row, 6)?,
        losses: json_or_empty(row, 7)?,
        together: row.get(8)?,
    })
}

pub(super) fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<QueueId> {
    row.get(column).map(QueueId::from_bytes)
}

pub(super) fn way(row: &Row<'_>, column: usize) -> rusqlite::Result<WayKey> {
    Ok(WayKey::from_text(row.get_ref(column)?.as_str()?))
}

pub(super) fn state(row: &Row<'_>, column: usize) -> rusqlite::Result<State> {
    let number: u8 = row.get(column)?;
    columns::state(number).ok_or_else(|| unreadable(column, "a state", number))
}

pub(super) fn outcome(row: &Row<'_>, column: usize) -> rusqlite::Result<Outcome> {
    let name = row.get_ref(column)?.as_str()?;
    Outcome::from_name(name).ok_or_else(|| unreadable(column, "an outcome", name))
}

pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    let millis = row.get(column)?;
    Timestamp::from_millisecond(millis).map_err(|_| unreadable(column, "a time", millis))
}

pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| FromSqlError::OutOfRange(number).into())
}

/// A text that reads as what it should be.
pub(super) fn parsed<T: FromStr>(
    row: &Row<'_>,
    column: usize,
    what: &'static str,
) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    text.parse().map_err(|_| unreadable(column, what, text))
}

pub(super) fn sender(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Address>> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| text.parse().map_err(|_| unreadable(column, "an address", text))).transpose()
}

pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    from_json(row.get_ref(column)?.as_str()?, column)
}

pub(super) fn json_or_none<T: DeserializeOwned>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<Option<T>> {
    row.get_ref(column)?.as_str_or_null()?.map(|text| from_json(text, column)).transpose()
}

fn json_or_empty<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<T>> {
    Ok(json_or_none(row, column)?.unwrap_or_default())
}

fn from_json<T: DeserializeOwned>(text: &str, column: usize) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
    })
}

/// The pieces of a content, put together.
#[derive(Debug, Default)]
pub(super) struct Content(Vec<u8>);

impl Content {
    pub(super) fn with_capacity(size: u64) -> Self {
        // What the record says is not trusted with more than one allocation of a sensible size.
        Self(Vec::with_capacity(usize::try_from(size).unwrap_or(0).min(64 << 20)))
    }

    pub(super) fn add(&mut self, row: &Row<'_>, column: usize) -> rusqlite::Result<()> {
        self.0.extend_from_slice(row.get_ref(column)?.as_blob()?);
        Ok(())
    }

    pub(super) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    pub(super) fn into_bytes(self) -> Bytes {
        self.0.into()
    }
}

/// Recipients as they are stored.
pub(super) fn recipients_json(recipients: &[RecipientStatus]) -> rusqlite::Result<String> {
    to_json(&recipients)
}

/// Recipients of a message that has just come in.
pub(super) fn waiting_json(addresses: &[Address]) -> rusqlite::Result<String> {
    columns::waiting_json(addresses).map_err(unwritable)
}

/// A list as it is stored: nothing when it is empty.
pub(super) fn list_json<T: Serialize>(list: &[T]) -> rusqlite::Result<Option<String>> {
    columns::list_json(list).map_err(unwritable)
}

pub(super) fn to_json<T: Serialize>(value: &T) -> rusqlite::Result<String> {
    columns::to_json(value).map_err(unwritable)
}

fn unwritable(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(error.into())
}

fn unreadable(column: usize, what: &str, value: impl std::fmt::Display) -> rusqlite::Error {
    let problem = format!("{value} is not {what}");
    rusqlite::Error::FromSqlConversionFailure(column, Type::Null, problem.into())
}
