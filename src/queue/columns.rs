//! What the columns of a store hold, whatever its dialect.

use serde::Serialize;

use super::{RecipientState, State};
use crate::clock::Timestamp;
use crate::message::Address;

/// A moment as the tables keep it.
pub(super) fn millis(time: Timestamp) -> i64 {
    time.as_millisecond()
}

/// A moment in milliseconds; the first or the last there is for what is none.
pub(super) fn nearest_time(millis: i64) -> Timestamp {
    let end = if millis < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_millisecond(millis).unwrap_or(end)
}

/// A count as the tables keep it; larger than the largest is the largest.
pub(super) fn signed(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// The state of this number, if there is one.
pub(super) fn state(number: u8) -> Option<State> {
    State::ALL.get(usize::from(number)).copied()
}

/// Recipients of a message that has just come in, without a copy of each address.
pub(super) fn waiting_json(addresses: &[Address]) -> serde_json::Result<String> {
    /// Written like [`RecipientStatus`](super::RecipientStatus).
    #[derive(Serialize)]
    struct Waiting<'a> {
        address: &'a str,
        state: RecipientState,
    }
    let waiting: Vec<_> = addresses
        .iter()
        .map(|address| Waiting { address: address.as_str(), state: RecipientState::Queued })
        .collect();
    to_json(&waiting)
}

/// A list as it is stored: nothing when it is empty.
pub(super) fn list_json<T: Serialize>(list: &[T]) -> serde_json::Result<Option<String>> {
    if list.is_empty() { Ok(None) } else { to_json(&list).map(Some) }
}

pub(super) fn to_json<T: Serialize>(value: &T) -> serde_json::Result<String> {
    serde_json::to_string(value)
}
