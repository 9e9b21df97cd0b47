//! The requests by which a message was sent, made once more for a person to look at.
//!
//! They are not kept: the provider's own code makes them from the message, as it does for every attempt, and the same
//! message and settings give the same octets. What may be another than it was is said.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::Delivery;
use super::attempt::parse;
use super::board::Board;
use super::brought::Way;
use super::engine::Engine;
use super::job::Job;
use super::lane::LaneId;
use crate::clock::Timestamp;
use crate::config::SenderConfig;
use crate::message::{Address, Addressing, Envelope, Message};
use crate::provider::{Call, Form, IdempotencyKey, Letter, Provider, Shown, Varies};
use crate::queue::{Attempt, Claim, Details, Lease, Outcome, RecipientState};

/// Requests that are made for one look; a message to a thousand people may have as many.
const REQUESTS_MAX: usize = 20;

/// Octets of all their bodies; the first is shown however large it is.
const BYTES_MAX: usize = 16 << 20;

/// How a message was, or would be, given to a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownRequest {
    /// The provider's name.
    pub provider: String,
    /// In the order of the attempts.
    pub calls: Vec<ShownCall>,
    /// What a person should know about them.
    pub notes: Vec<Note>,
}

impl ShownRequest {
    /// True when they are, but for secrets, octet by octet what was sent.
    pub fn is_exact(&self) -> bool {
        !self.calls.is_empty() && !self.notes.iter().any(Note::spoils)
    }
}

/// One request, and for whom it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownCall {
    pub request: Shown,
    pub recipients: Vec<String>,
}

/// What a person should know about requests that are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// This provider has not been asked for this message.
    NotAsked,
    /// It was asked before the present settings came into force.
    Settings { since: Timestamp },
    /// The request carries its time, and a signature of it.
    Time,
    /// The mail server's answer to EHLO decides about parameters.
    Offer,
    /// It was an entry in a list of so many, or may have been in one where the record does not say.
    Batch(Option<u32>),
    /// The record does not say for whom each request was: an operator has changed the recipients since, or has had it sent
    /// anew.
    Recipients,
    /// More requests are not shown.
    More,
    /// There is no request, and why.
    None(String),
}

impl Note {
    /// True where the request may have been another.
    fn spoils(&self) -> bool {
        match self {
            Self::NotAsked
            | Self::Settings { .. }
            | Self::Time
            | Self::Offer
            | Self::Batch(_)
            | Self::Recipients
            | Self::None(_) => true,
            Self::More => false,
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked => f.write_str(
                "this provider has not been asked for this message: so it would be",
            ),
            Self::Settings { since } => write!(
                f,
                "made with the settings that are in force since {since:.0}, which is after the message was sent: \
                 what was sent may have been another"
            ),
            Self::Time => f.write_str(
                "it carries the time at which it leaves and a signature of it, which are others now",
            ),
            Self::Offer => f.write_str(
                "what the mail server offers decides about parameters and about content that is not 7-bit",
            ),
            Self::Batch(Some(together)) => write!(
                f,
                "it travelled in a batch of {together}: what is shown is its entry in a list, which had another address \
                 and key",
            ),
            Self::Batch(None) => f.write_str(
                "it may have travelled together with other messages, or its own requests in one: then the body is its \
                 entry in a list, under another address and key",
            ),
            Self::Recipients => f.write_str(
                "an operator has changed the recipients since, or has had it sent anew: an earlier request may have had \
                 other recipients and another key",
            ),
            Self::More => f.write_str("there are more requests, to other recipients"),
            Self::None(reason) => write!(f, "there is no request: {reason}"),
        }
    }
}

/// Why no request can be shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotShown {
    /// Nobody has this name now.
    #[error("no provider is called {0:?}; it may have had that name when the message was sent")]
    Unknown(String),
    /// The account came with the message, and is not known any more.
    #[error(
        "the message goes by the account that its client brought, which is not known here any more"
    )]
    Account,
    /// Nobody could be asked.
    #[error("no provider is configured")]
    NoProvider,
    /// The provider's code or the parser failed.
    #[error("mailferry itself failed at this message; its log says where, please report it")]
    Fault,
}

/// Whose request is shown.
struct Chosen {
    name: String,
    provider: Arc<dyn Provider>,
    recipients_per_call: usize,
}

impl Delivery {
    /// The requests by which this provider got the message; without attempts, those by which it would. Without a name it is
    /// the provider of the last attempt, else the first of the message's route. Asks nobody and changes nothing.
    pub async fn show_request(
        &self,
        details: &Details,
        raw: Bytes,
        provider: Option<&str>,
    ) -> Result<ShownRequest, NotShown> {
        let engine = &self.0;
        let message = Arc::new(message_of(details, raw));
        let chosen = engine.choose(details, &message, provider)?;
        let mut notes = Vec::new();
        let groups = groups(details, &chosen.name);
        if groups.is_empty() {
            notes.push(Note::NotAsked);
        }
        let since = engine.settings_since.load(Ordering::Relaxed);
        let since = Timestamp::from_millisecond(since).unwrap_or_default();
        let asked = calls_of(details, &chosen.name);
        if asked.clone().any(|attempt| attempt.at < since) {
            notes.push(Note::Settings { since });
        }
        if has_other_recipients(details, &chosen.name) {
            notes.push(Note::Recipients);
        }
        let prepared = engine.prepare_shown(&chosen, &message, groups).await?;
        let Prepared { calls, more, unfit } = prepared;
        if more {
            notes.push(Note::More);
        }
        notes.extend(unfit.map(Note::None));
        notes.extend(batch(asked, &*chosen.provider));
        let mut shown = Vec::with_capacity(calls.len());
        for (call, recipients) in calls {
            let key = IdempotencyKey::of(message.id, &call).anew(times_anew(details, &recipients));
            match chosen.provider.show(&call, &key).await {
                Ok(request) => {
                    let varies = request.varies.map(|varies| match varies {
                        Varies::Time => Note::Time,
                        Varies::Offer => Note::Offer,
                    });
                    notes.extend(varies.filter(|note| !notes.contains(note)));
                    shown.push(ShownCall { request, recipients });
                }
                Err(unfit) => {
                    notes.push(Note::None(unfit.reason));
                    break;
                }
            }
        }
        Ok(ShownRequest { provider: chosen.name, calls: shown, notes })
    }
}

/// Calls that were made, with their recipients.
struct Prepared {
    calls: Vec<(Call, Vec<String>)>,
    /// There are more of them.
    more: bool,
    /// Why the provider cannot carry the message, or a part of it.
    unfit: Option<String>,
}

impl Engine {
    fn choose(
        &self,
        details: &Details,
        message: &Arc<Message>,
        wanted: Option<&str>,
    ) -> Result<Chosen, NotShown> {
        let board = self.board();
        let last = details.attempts.last().map(|attempt| &*attempt.provider);
        let lane = match (wanted.or(last), details.summary.way.name().strip_prefix("account-")) {
            (Some(name), _) => {
                named(&board, name).ok_or_else(|| NotShown::Unknown(name.to_owned()))?
            }
            (None, Some(fingerprint)) => {
                of_account(&board, fingerprint).ok_or(NotShown::Account)?
            }
            (None, None) => {
                let claim = Claim::fresh(Arc::clone(message), 0);
                let mut job = Job::new(
                    claim,
                    Lease { owner: "".into(), expires: Timestamp::MAX },
                    Way::Route,
                    None,
                );
                board.divide(&mut job);
                board.candidates(&job).first().copied().ok_or(NotShown::NoProvider)?
            }
        };
        let (provider, name, _) = board.account(lane);
        let service = provider.capabilities().recipients_per_call;
        let recipients_per_call = board.limits(lane).recipients_per_call(service);
        Ok(Chosen { name, provider, recipients_per_call })
    }

    /// Away from the async threads: to decode a large message takes its time.
    async fn prepare_shown(
        &self,
        chosen: &Chosen,
        message: &Arc<Message>,
        groups: Vec<Vec<Address>>,
    ) -> Result<Prepared, NotShown> {
        let turn = self.memory.turn(message.raw.len()).await;
        let (provider, per_call) = (Arc::clone(&chosen.provider), chosen.recipients_per_call);
        let (message, policy) = (Arc::clone(message), self.policy());
        let preparing = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            prepare(&*provider, &message, &policy.sender, groups, per_call)
        });
        preparing.await.map_err(|_| {
            tracing::error!("a request could not be shown by a fault of mailferry");
            NotShown::Fault
        })
    }
}

fn prepare(
    provider: &dyn Provider,
    message: &Message,
    rules: &SenderConfig,
    groups: Vec<Vec<Address>>,
    per_call: usize,
) -> Prepared {
    let email = parse(message, rules);
    let structured = provider.capabilities().form == Form::Structured;
    let all = || vec![message.envelope.recipients.clone()];
    let groups = if groups.is_empty() { all() } else { groups };
    let split =
        groups.iter().flat_map(|group| Addressing::split(&email, group, per_call, structured));
    let (mut calls, mut more, mut unfit, mut bytes) = (Vec::new(), false, None, 0);
    for addressing in split {
        if calls.len() == REQUESTS_MAX || bytes > BYTES_MAX {
            more = true;
            break;
        }
        let letter = Letter {
            id: message.id,
            envelope: &message.envelope,
            received_at: message.received_at,
            raw: &message.raw,
            email: &email,
            addressing: &addressing,
        };
        match provider.prepare(&letter) {
            Ok(call) => {
                bytes += call.body.len();
                calls.push((call, addressing.recipients().map(str::to_owned).collect()));
            }
            Err(error) => {
                unfit = Some(error.reason);
                break;
            }
        }
    }
    Prepared { calls, more, unfit }
}

/// The attempts at which this provider was really asked.
fn calls_of<'a>(
    details: &'a Details,
    provider: &'a str,
) -> impl Iterator<Item = &'a Attempt> + Clone {
    let is_asked = move |it: &&Attempt| it.provider == provider && it.outcome != Outcome::Unfit;
    details.attempts.iter().filter(is_asked)
}

/// Whom each call of this provider was for, each of them once; empty when it made none.
fn groups(details: &Details, provider: &str) -> Vec<Vec<Address>> {
    let mut groups: Vec<Vec<Address>> = Vec::new();
    for attempt in calls_of(details, provider) {
        let group = match attempt.recipients.as_slice() {
            [] => details.summary.recipients.iter().map(|it| it.address.clone()).collect(),
            named => named.to_vec(),
        };
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    groups
}

/// Whether one of these attempts of the provider was an entry in a list.
fn batch<'a>(
    mut asked: impl Iterator<Item = &'a Attempt> + Clone,
    provider: &dyn Provider,
) -> Option<Note> {
    provider.capabilities().batch?;
    let most = asked.clone().filter_map(|attempt| attempt.together).max();
    match most.filter(|together| *together > 1) {
        None if asked.all(|attempt| attempt.together.is_some()) => None,
        together => Some(Note::Batch(together)),
    }
}

/// True when a request of this provider may have had other recipients than those that are shown for it, or another key.
fn has_other_recipients(details: &Details, provider: &str) -> bool {
    let recipients = &details.summary.recipients;
    let mut called = calls_of(details, provider).peekable();
    if called.peek().is_none() {
        return false;
    }
    // The key says how often; of an earlier request the record does not.
    if recipients.iter().any(|recipient| recipient.again > 0) {
        return true;
    }
    // Without names it was for everybody whom the record had then: those of now, unless a retry has named some.
    let named = details.attempts.iter().any(|attempt| !attempt.recipients.is_empty());
    let waits = |state| matches!(state, RecipientState::Queued | RecipientState::Cancelled);
    let first = recipients.first().map(|recipient| recipient.state);
    let is_mixed = recipients.iter().any(|it| waits(it.state))
        && recipients.iter().any(|it| Some(it.state) != first);
    called.any(|attempt| attempt.recipients.is_empty()) && (named || is_mixed)
}

/// How often these have had it sent anew.
fn times_anew(details: &Details, recipients: &[String]) -> u32 {
    let all = details.summary.recipients.iter();
    let meant = all.filter(|own| recipients.iter().any(|it| own.address.same_mailbox(it)));
    meant.map(|own| own.again).max().unwrap_or(0)
}

fn named(board: &Board, name: &str) -> Option<LaneId> {
    let of_account = || board.roster.all().find(|(_, lane)| *lane.setup.name == *name);
    board.find(name).or_else(|| of_account().map(|(id, _)| id))
}

fn of_account(board: &Board, fingerprint: &str) -> Option<LaneId> {
    let belongs = |name: &str| name.rsplit('/').next() == Some(fingerprint);
    board.roster.all().find(|(_, lane)| belongs(&lane.setup.name)).map(|(id, _)| id)
}

/// The message as it was accepted, but for the account.
fn message_of(details: &Details, raw: Bytes) -> Message {
    let summary = &details.summary;
    Message {
        id: summary.id,
        received_at: summary.received_at,
        envelope: Envelope {
            sender: summary.sender.clone(),
            recipients: summary.recipients.iter().map(|it| it.address.clone()).collect(),
            smtp_utf8: details.smtp_utf8,
            dsn: details.dsn.clone(),
        },
        raw,
        index: summary.index.clone(),
        user: summary.user.clone(),
        account: None,
        may_steer: details.may_steer,
    }
}
