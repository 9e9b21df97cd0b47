//! Whether providers take the accounts that clients present: asked once, remembered for a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::brought::{AccountSettings, Brought};
use crate::clock::{SharedClock, Timestamp};
use crate::message::Account;
use crate::provider::Verdict;
use crate::queue::{AccountCheck, Accounts};
use crate::seal::Fingerprint;

/// How long an answer is believed. A key that was refused may just have been made.
const GOOD_KEPT: Duration = Duration::from_mins(10);
const REFUSED_KEPT: Duration = Duration::from_mins(1);
/// So that those who wait for the same question do not all ask it again.
const UNKNOWN_KEPT: Duration = Duration::from_secs(5);
/// Answers that are remembered.
const KNOWN_MAX: usize = 1_000;
/// Questions at the same time.
const QUESTIONS_MAX: usize = 4;
/// For one question, and for all that comes before it.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(8);

/// One account's answer, and until when it holds. Its lock is held while the question is put: one at a time.
type Entry = Arc<tokio::sync::Mutex<Option<(AccountCheck, Timestamp)>>>;

/// Asks and remembers. Of an account it keeps a fingerprint, never the key.
#[derive(Debug)]
pub(super) struct KnownAccounts {
    settings: AccountSettings,
    clock: SharedClock,
    known: Mutex<HashMap<Fingerprint, Entry>>,
    questions: Semaphore,
}

impl KnownAccounts {
    pub(super) fn new(settings: AccountSettings, clock: SharedClock) -> Self {
        let questions = Semaphore::new(QUESTIONS_MAX);
        Self { settings, clock, known: Mutex::default(), questions }
    }

    async fn answer(&self, brought: &Brought) -> AccountCheck {
        let Some(entry) = self.entry(brought.fingerprint) else {
            return AccountCheck::Unknown("too many accounts are being checked".to_owned());
        };
        let mut known = entry.lock().await;
        if let Some((answer, until)) = &*known
            && self.clock.now() < *until
        {
            return answer.clone();
        }
        let answer = self.ask(brought).await;
        let kept = match answer {
            AccountCheck::Good => GOOD_KEPT,
            AccountCheck::Refused(_) => REFUSED_KEPT,
            AccountCheck::Unknown(_) => UNKNOWN_KEPT,
        };
        *known = Some((answer.clone(), self.clock.now() + kept));
        answer
    }

    async fn ask(&self, brought: &Brought) -> AccountCheck {
        let name = brought.name();
        let provider = match self.settings.lanes.make(name.clone(), &brought.account) {
            Ok(setup) => setup.provider,
            Err(reason) => return AccountCheck::Refused(reason),
        };
        // Never closed; were it, asking at once would do no harm.
        let _turn = self.questions.acquire().await;
        match timeout(QUESTION_TIMEOUT, provider.vouch()).await {
            Ok(Ok(())) => AccountCheck::Good,
            Ok(Err(error)) if error.verdict == Verdict::Misconfigured => {
                AccountCheck::Refused(error.to_string())
            }
            Ok(Err(error)) => AccountCheck::Unknown(format!("{name}: {error}")),
            Err(_) => {
                let seconds = QUESTION_TIMEOUT.as_secs();
                AccountCheck::Unknown(format!("{name}: no answer within {seconds} s"))
            }
        }
    }

    /// The place for this account's answer. None when all places are held by questions that are being put.
    fn entry(&self, fingerprint: Fingerprint) -> Option<Entry> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = known.get(&fingerprint) {
            return Some(Arc::clone(entry));
        }
        if known.len() >= KNOWN_MAX {
            make_place(&mut known, self.clock.now())?;
        }
        let entry = Entry::default();
        known.insert(fingerprint, Arc::clone(&entry));
        Some(entry)
    }
}

/// Forgets what does not hold any more, or else the answer that holds the shortest.
fn make_place(known: &mut HashMap<Fingerprint, Entry>, now: Timestamp) -> Option<()> {
    // Whoever asks or waits has a share of the entry; it is looked up under the lock of the map only.
    let until = |entry: &Entry| match (Arc::strong_count(entry), entry.try_lock()) {
        (1, Ok(answer)) => Some(answer.as_ref().map_or(Timestamp::MIN, |(_, until)| *until)),
        (_, _) => None,
    };
    let before = known.len();
    known.retain(|_, entry| until(entry).is_none_or(|until| until > now));
    if known.len() < before {
        return Some(());
    }
    let candidates = known.iter().filter_map(|(mark, entry)| Some((until(entry)?, *mark)));
    let (_, fingerprint) = candidates.min_by_key(|(until, _)| *until)?;
    known.remove(&fingerprint).map(drop)
}

#[async_trait]
impl Accounts for KnownAccounts {
    async fn check(&self, account: &Account) -> AccountCheck {
        let brought = match Brought::new(&self.settings.seal, account.clone()) {
            Ok(brought) => brought,
            Err(error) => return AccountCheck::Unknown(error.to_string()),
        };
        timeout(PATIENCE, self.answer(&brought)).await.unwrap_or_else(|_| {
            AccountCheck::Unknown("too many other accounts are being checked".to_owned())
        })
    }
}
