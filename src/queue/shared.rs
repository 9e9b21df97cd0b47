//! What several instances on one queue have in common beside its messages: who lives, the pace of calls, quotas, and how
//! providers stand.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::broadcast;

use super::feed::Change;
use super::store::StoreError;
use crate::clock::Timestamp;

/// The common ground of the instances that share a queue.
#[async_trait]
pub trait Shared: Send + Sync {
    /// Under which name this instance claims now, and until when its claims hold.
    fn presence(&self) -> &Presence;

    /// Takes places in the one row of calls that all instances make to an account: moments, in their order, of which
    /// none was or will be given to anybody else. One call may be made at each, not before it and not later than
    /// [`CallsWanted::tolerance`] after it; a place that was missed is lost. What is further ahead than a second is not
    /// given out yet.
    async fn reserve_calls(&self, wanted: CallsWanted) -> Result<CallPlaces, StoreError>;

    /// Counts recipients of a call that is about to be made, where no quota is exceeded by them. What is not used is given
    /// back by [`Shared::return_recipients`]; what a crash leaves counts.
    async fn reserve_recipients(&self, wanted: RecipientsWanted) -> Result<Reserved, StoreError>;

    /// So many of those that were reserved in this hour have not been served.
    async fn return_recipients(
        &self,
        provider: &str,
        hour: i64,
        recipients: u64,
    ) -> Result<(), StoreError>;

    /// Keeps how an account stands, unless something younger is kept, and tells all instances of it. True when that is
    /// another condition than the one that was kept: of several instances that find out the same, one hears that.
    async fn tell(&self, standing: AccountStanding) -> Result<bool, StoreError>;

    /// How accounts stand.
    async fn standings(&self) -> Result<Vec<AccountStanding>, StoreError>;

    /// What happens from now on, told by this instance or by another. It may get lost with the connection: then
    /// [`News::Missed`] says so.
    fn listen(&self) -> broadcast::Receiver<News>;

    /// Something in the queue is due that nobody has in memory: tells all instances, soon, many times at once.
    fn due(&self);

    /// Tells the other instances what has changed, if anybody there looks on.
    fn changed(&self, change: Change);

    /// True while somebody looks on at another instance.
    fn is_watched(&self) -> bool;

    /// Somebody here looks on, or nobody any more: whether it is worth telling this instance of changes.
    fn watch(&self, watching: bool);

    /// This instance has ended all its work: the others need not wait for it. What it has claimed all the same is due.
    async fn leave(&self);
}

/// What an instance asks of the row of calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallsWanted {
    /// The configured provider's name, or that of a brought account.
    pub account: String,
    /// The account's limit: so many calls in any window of this length.
    pub calls: u32,
    pub per: Duration,
    /// How late after its place a call may be made.
    pub tolerance: Duration,
    /// How many places are wanted.
    pub places: u32,
    pub now: Timestamp,
}

/// What the row of calls gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallPlaces {
    /// As many as were wanted, or fewer.
    pub taken: Vec<Timestamp>,
    /// The next one that is free, as things stand.
    pub next: Timestamp,
}

/// A quota: so many recipients in the hours from `from_hour` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Counted from 1970.
    pub from_hour: i64,
    pub limit: u64,
}

/// What an instance is about to have served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientsWanted {
    /// The configured provider's name.
    pub provider: String,
    pub quotas: Vec<Quota>,
    pub recipients: u64,
    /// The present hour, counted from 1970.
    pub hour: i64,
}

/// Whether there was room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// They count now.
    Yes,
    /// A quota has no room for so many; nothing was counted.
    Full,
}

/// How a provider account stands, as far as it concerns everybody who uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountStanding {
    /// The configured provider's name, or that of a brought account.
    pub account: String,
    /// Tells accounts of one name apart while a key is being changed from instance to instance.
    pub mark: u16,
    pub condition: Condition,
    /// The provider's words.
    pub error: Option<String>,
    pub at: Timestamp,
    /// Which instance has found out.
    pub by: Arc<str>,
}

/// What is known of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It takes mail.
    Up,
    /// It wants no call before then.
    Rests { until: Timestamp },
    /// Its quota or credits are used up until then, as far as it is known.
    Exhausted { until: Option<Timestamp> },
    /// Key, domain, sandbox, suspension.
    Misconfigured,
    /// It does not answer, or too often not.
    Down,
}

impl Condition {
    /// As it is written in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Rests { .. } => "throttled",
            Self::Exhausted { .. } => "exhausted",
            Self::Misconfigured => "misconfigured",
            Self::Down => "down",
        }
    }
}

/// Something that all instances should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// How an account stands.
    Standing(AccountStanding),
    /// Something in the queue is due that nobody has in memory.
    Due,
    /// Another instance has changed this in the queue. Told only while somebody here looks on.
    Changed(Change),
    /// The list of addresses that get no mail has changed.
    Suppressions,
    /// This instance was taken for dead and has another name now: what it held under the old one is not its own any more.
    Renamed,
    /// Something may have been missed: look at everything again.
    Missed,
}

/// Under which name an instance claims, and until when the others leave its claims alone.
///
/// An instance says again and again that it lives. One that has not done so for long loses all that it has claimed; when
/// it comes back, it goes on under another name, and what it holds under the old one it must leave alone.
#[derive(Debug)]
pub struct Presence(Mutex<Life>);

#[derive(Clone, Debug)]
struct Life {
    owner: Arc<str>,
    until: Timestamp,
}

impl Presence {
    /// Lives under this name until then.
    pub fn new(owner: Arc<str>, until: Timestamp) -> Self {
        Self(Mutex::new(Life { owner, until }))
    }

    /// The name for leases that begin now.
    pub fn owner(&self) -> Arc<str> {
        self.life().owner
    }

    /// Whether what was claimed under this name is still this instance's at `now`.
    pub fn holds(&self, owner: &str, now: Timestamp) -> bool {
        let life = self.life();
        *life.owner == *owner && now < life.until
    }

    /// Until when the others surely leave alone what it has claimed.
    pub fn until(&self) -> Timestamp {
        self.life().until
    }

    /// It has said that it lives, or had to take another name.
    pub fn renew(&self, owner: Arc<str>, until: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Life { owner, until };
    }

    fn life(&self) -> Life {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
