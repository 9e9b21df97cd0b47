//! What a service has seen: whom it has served, the keys that it knows, and every call that should not have been made.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::provider::midnight_after;
use crate::clock::Timestamp;
use crate::provider::{Rate, Receipt};

/// How much of a window the way from the decision to the service may take: calls leave evenly, and arrive less so.
const JITTER: Duration = Duration::from_millis(100);
/// How many faults are kept; the first says enough.
const FAULTS_MAX: usize = 20;

/// One message within a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) number: usize,
    pub(super) recipients: Vec<String>,
}

impl Member {
    pub(super) fn read(body: &Bytes) -> Vec<Self> {
        let read = |line: &str| {
            let (number, recipients) = line.split_once(' ').unwrap();
            let recipients = recipients.split(',').map(str::to_owned).collect();
            Self { number: number.parse().unwrap(), recipients }
        };
        std::str::from_utf8(body).unwrap().split('\n').map(read).collect()
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.recipients.iter().any(|recipient| recipient.starts_with("poison"))
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.recipients.iter().map(|it| it.split('@').next().unwrap_or_default());
        write!(f, "{}", names.collect::<Vec<_>>().join(","))
    }
}

#[derive(Debug)]
struct Known {
    body: Bytes,
    at: Duration,
    receipts: Vec<Receipt>,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// How often each recipient of each message was served.
    pub(super) served: BTreeMap<(usize, String), usize>,
    /// Keys of requests that are being worked at.
    pub(super) in_flight: BTreeSet<String>,
    /// What nobody may do to a service, in words.
    pub(super) faults: Vec<String>,
    /// Likewise, of the day's quota.
    pub(super) faults_of_quota: Vec<String>,
    /// Messages that were in a call of which no answer, or none that says anything, has come.
    pub(super) unclear: BTreeSet<usize>,
    /// Messages that this process has asked for.
    pub(super) asked: BTreeSet<usize>,
    keys: BTreeMap<String, Known>,
    begun: VecDeque<Duration>,
    rest_until: Duration,
    /// Recipients by day.
    used: BTreeMap<i64, u64>,
    /// Days on which an answer was not heard, so that the other side cannot know what it has used.
    uncounted: BTreeSet<i64>,
}

impl Ledger {
    /// A call begins.
    pub(super) fn call(&mut self, now: Duration, rate: Option<Rate>) {
        if now < self.rest_until {
            let early = self.rest_until - now;
            self.fault(format!(
                "at {now:?}: a call {early:?} before the end of the rest that was asked for"
            ));
        }
        let Some(Rate { calls, per }) = rate else { return };
        self.begun.push_back(now);
        while self.begun.len() > calls as usize + 1 {
            self.begun.pop_front();
        }
        if let (true, Some(first)) = (self.begun.len() > calls as usize, self.begun.front())
            && now - *first + JITTER < per
        {
            let within = now - *first;
            self.fault(format!("at {now:?}: {} calls within {within:?}", calls + 1));
        }
    }

    /// A 429 has been heard.
    pub(super) fn rest_until(&mut self, until: Duration) {
        self.rest_until = self.rest_until.max(until);
    }

    /// A new process knows nothing of the rest that its predecessor was asked for.
    pub(super) fn new_client(&mut self) {
        self.rest_until = Duration::ZERO;
        self.asked.clear();
    }

    /// To the client it seems as if much time had passed: it cannot know better.
    pub(super) fn client_leaps(&mut self) {
        self.rest_until = Duration::ZERO;
        self.begun.clear();
    }

    /// Nobody has heard the answer about these.
    pub(super) fn lost(&mut self, date: Timestamp, members: &[Member]) {
        self.uncounted.insert(day(date));
        self.unclear.extend(members.iter().map(|member| member.number));
    }

    /// Counts recipients for the day's quota; `Err`: it is used up until then.
    pub(super) fn count(
        &mut self,
        date: Timestamp,
        recipients: u64,
        quota: u64,
    ) -> Result<(), Timestamp> {
        let day = day(date);
        let used = self.used.entry(day).or_default();
        if *used + recipients <= quota {
            *used += recipients;
            return Ok(());
        }
        if !self.uncounted.contains(&day) {
            let used = *used;
            if self.faults_of_quota.len() < FAULTS_MAX {
                self.faults_of_quota
                    .push(format!("at {date}: {recipients} more, {used} of {quota} are used"));
            }
        }
        Err(midnight_after(date))
    }

    /// The answer to an earlier request of this key, if it is not longer ago than `memory`.
    pub(super) fn replay(
        &mut self,
        key: &str,
        body: &Bytes,
        now: Duration,
        memory: Duration,
    ) -> Option<Vec<Receipt>> {
        let known = self.keys.get(key).filter(|known| now < known.at + memory)?;
        let receipts = known.receipts.clone();
        if known.body != *body {
            self.fault(format!("at {now:?}: another body under the key {key}"));
        }
        Some(receipts)
    }

    pub(super) fn remember(
        &mut self,
        key: &str,
        body: &Bytes,
        receipts: Vec<Receipt>,
        at: Duration,
    ) {
        self.keys.insert(key.to_owned(), Known { body: body.clone(), at, receipts });
    }

    /// The message goes out.
    pub(super) fn keep(&mut self, name: &str, member: &Member) -> Receipt {
        for recipient in &member.recipients {
            *self.served.entry((member.number, recipient.clone())).or_default() += 1;
        }
        let id = format!("{name}-{}", member.number);
        Receipt { provider_message_id: Some(id), left_out: Vec::new() }
    }

    fn fault(&mut self, what: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(what);
        }
    }
}

fn day(date: Timestamp) -> i64 {
    date.as_second().div_euclid(86_400)
}
