//! What instances say to each other by NOTIFY: a word, and for changes whose and which. PostgreSQL takes less than 8,000
//! octets.

use std::collections::BTreeMap;

use tokio_postgres::{Client, Error};
use uuid::Uuid;

use crate::message::QueueId;
use crate::queue::{Change, State};

/// Something is due that nobody has in memory.
pub(super) const DUE: &str = "due";
/// Accounts stand otherwise: the table says how.
pub(super) const STANDINGS: &str = "standings";
/// The list of addresses that get no mail has changed.
pub(super) const SUPPRESSIONS: &str = "suppressions";
/// Somebody begins or ends to look on.
pub(super) const WATCH: &str = "watch";
const CHANGED: &str = "changed";
const MANY: &str = "many";

/// What was said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Due,
    Standings,
    Suppressions,
    Watch,
    /// An instance, which may be the own one, has changed these.
    Changed {
        by: String,
        changes: Vec<Change>,
    },
    /// What a newer release may say.
    Unknown,
}

impl Said {
    pub(super) fn read(words: &str) -> Self {
        match words {
            DUE => Self::Due,
            STANDINGS => Self::Standings,
            SUPPRESSIONS => Self::Suppressions,
            WATCH => Self::Watch,
            other => Self::read_changes(other).unwrap_or(Self::Unknown),
        }
    }

    fn read_changes(words: &str) -> Option<Self> {
        let (list, by) = words.strip_prefix(CHANGED)?.strip_prefix(' ')?.split_once(' ')?;
        let change = |word: &str| {
            if word == MANY {
                return Some(Change::Many);
            }
            let (id, state) = word.split_once('=')?;
            let id = QueueId::from_bytes(*Uuid::try_parse(id).ok()?.as_bytes());
            Some(Change::Message { id, state: state.parse().ok()? })
        };
        let changes = list.split(',').map(change).collect::<Option<Vec<_>>>()?;
        Some(Self::Changed { by: by.to_owned(), changes })
    }
}

/// How changes are told; `None` for very many of them.
pub(super) fn changed(by: &str, changes: Option<&BTreeMap<QueueId, State>>) -> String {
    let Some(changes) = changes else { return format!("{CHANGED} {MANY} {by}") };
    let words: Vec<String> = changes.iter().map(|(id, state)| format!("{id}={state}")).collect();
    format!("{CHANGED} {} {by}", words.join(","))
}

/// Says it to all instances.
pub(super) async fn tell(client: &Client, words: &str) -> Result<(), Error> {
    client.execute("SELECT pg_notify('mailferry', $1)", &[&words]).await.map(drop)
}

/// How often the standings, and the list of addresses that get no mail, have changed.
pub(super) async fn versions(client: &Client) -> Result<(i64, i64), Error> {
    let rows = client.query("SELECT topic, version FROM versions", &[]).await?;
    let of = |topic: &str| {
        let row = rows.iter().find(|row| row.get::<_, &str>("topic") == topic);
        row.map_or(0, |row| row.get("version"))
    };
    Ok((of(STANDINGS), of(SUPPRESSIONS)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::conformance::message;

    #[test]
    fn what_is_said_is_understood() {
        for (words, said) in [
            (DUE, Said::Due),
            (STANDINGS, Said::Standings),
            (SUPPRESSIONS, Said::Suppressions),
            (WATCH, Said::Watch),
            ("", Said::Unknown),
            ("changed", Said::Unknown),
            ("changed many", Said::Unknown),
            ("changed 1=queued a", Said::Unknown),
            ("a newer word", Said::Unknown),
        ] {
            assert_eq!(Said::read(words), said, "{words}");
        }
        let by = "mail 1-7".to_owned();
        let (one, two) = (message(1).id, message(2).id);
        let changes = BTreeMap::from([(one, State::Sending), (two, State::Delivered)]);
        let told = vec![
            Change::Message { id: one, state: State::Sending },
            Change::Message { id: two, state: State::Delivered },
        ];
        let said = Said::read(&changed(&by, Some(&changes)));
        assert_eq!(said, Said::Changed { by: by.clone(), changes: told });
        let said = Said::read(&changed(&by, None));
        assert_eq!(said, Said::Changed { by, changes: vec![Change::Many] });
    }
}
