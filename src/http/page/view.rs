//! What the templates show, as ready texts: they contain no decisions.

use std::net::SocketAddr;

use askama::Template;
use url::form_urlencoded;

use super::super::error::Problem;
use super::super::health::{Report, Status};
use super::super::login::Trouble;
use super::STYLE_VERSION;
use super::words::{self, Moment};
use crate::clock::Timestamp;
use crate::delivery::{ProviderState, ProviderStatus};
use crate::message::Address;
use crate::queue::{
    Attempt, Details, Filter, Page, RecipientState, RecipientStatus, State, Summary,
};

/// `/`
#[derive(Debug, Template)]
#[template(path = "messages.html")]
pub(super) struct MessagesPage {
    style: &'static str,
    overview: Overview,
    states: Vec<StateLink>,
    search: String,
    /// The chosen state, which the search keeps.
    state: &'static str,
    rows: Vec<Row>,
    filtered: bool,
    /// Links to the pages before and after this one.
    newest: Option<String>,
    older: Option<String>,
}

/// `/messages/{id}`
#[derive(Debug, Template)]
#[template(path = "message.html")]
pub(super) struct MessagePage {
    style: &'static str,
    row: Row,
    id: String,
    envelope_from: String,
    message_id: String,
    size: String,
    user: Option<String>,
    /// What providers called it, and which.
    provider_ids: Vec<ProviderId>,
    next_attempt: Option<Moment>,
    recipients: Vec<Recipient>,
    attempts: Vec<AttemptView>,
}

/// Anything that went wrong.
#[derive(Debug, Template)]
#[template(path = "problem.html")]
pub(super) struct ProblemPage {
    style: &'static str,
    title: &'static str,
    message: String,
}

/// `/login`
#[derive(Debug, Template)]
#[template(path = "login.html")]
pub(super) struct LoginPage {
    style: &'static str,
    next: String,
    trouble: Option<String>,
}

/// The state of SMTP, queue and providers.
#[derive(Debug)]
struct Overview {
    /// A class of the style: `good`, `busy`, `bad`.
    tone: &'static str,
    status: &'static str,
    smtp: Vec<String>,
    /// The same, for somebody who configures an app.
    places: Vec<String>,
    connections: usize,
    uptime: String,
    queue: Option<QueueView>,
    providers: Vec<ProviderView>,
    /// Without one, no mail goes out.
    needs_providers: bool,
}

#[derive(Debug)]
struct QueueView {
    queued: u64,
    sending: u64,
    failed: u64,
    oldest: Option<String>,
}

#[derive(Debug)]
struct ProviderView {
    name: String,
    tone: &'static str,
    state: &'static str,
    /// The last error, while it matters: as long as the provider is not up.
    error: Option<String>,
    last_success: Option<Moment>,
}

#[derive(Debug)]
struct StateLink {
    name: &'static str,
    link: String,
    chosen: bool,
}

/// A message of the list.
#[derive(Debug)]
struct Row {
    link: String,
    state: &'static str,
    tone: &'static str,
    received: Moment,
    /// The header's From, or the envelope's where there is none.
    from: String,
    /// The display name in it, or the whole of it.
    author: String,
    to: String,
    /// How many recipients are not in `to`.
    more: usize,
    subject: String,
    provider: String,
    error: Option<String>,
}

#[derive(Debug)]
struct ProviderId {
    id: String,
    provider: String,
}

/// Something that did not travel.
#[derive(Debug)]
struct LossView {
    text: String,
    grave: bool,
}

#[derive(Debug)]
struct Recipient {
    address: String,
    state: &'static str,
    tone: &'static str,
    reason: Option<String>,
}

#[derive(Debug)]
struct AttemptView {
    at: Moment,
    provider: String,
    outcome: &'static str,
    tone: &'static str,
    error: Option<String>,
    provider_message_id: Option<String>,
    latency_ms: u64,
    losses: Vec<LossView>,
}

impl MessagesPage {
    pub(super) fn new(report: &Report, page: &Page, filter: &Filter, now: Timestamp) -> Self {
        let link = |before| link(filter.state, filter, before);
        Self {
            style: &STYLE_VERSION,
            overview: Overview::new(report, now),
            states: StateLink::all(filter),
            search: filter.text.clone().unwrap_or_default(),
            state: filter.state.map_or("", State::name),
            rows: page.messages.iter().map(|summary| Row::new(summary, now)).collect(),
            filtered: filter.state.is_some() || filter.text.is_some() || filter.provider.is_some(),
            newest: filter.before.map(|_| link(None)),
            older: page.next.map(|next| link(Some(next.to_string()))),
        }
    }
}

impl MessagePage {
    pub(super) fn new(details: &Details, now: Timestamp) -> Self {
        let summary = &details.summary;
        Self {
            style: &STYLE_VERSION,
            row: Row::new(summary, now),
            id: summary.id.to_string(),
            envelope_from: summary.sender.as_ref().map_or("<>", Address::as_str).to_owned(),
            message_id: summary.index.message_id.clone(),
            size: words::size(summary.size),
            user: summary.user.clone(),
            provider_ids: details.attempts.iter().filter_map(ProviderId::of).collect(),
            next_attempt: summary.next_attempt_at.map(|at| Moment::to_come(at, now)),
            recipients: summary.recipients.iter().map(Recipient::new).collect(),
            attempts: details.attempts.iter().map(|a| AttemptView::new(a, now)).collect(),
        }
    }
}

impl ProblemPage {
    pub(super) fn new(problem: &Problem) -> Self {
        let title = problem.status.canonical_reason().unwrap_or("Problem");
        Self { style: &STYLE_VERSION, title, message: problem.message.clone() }
    }
}

impl LoginPage {
    pub(super) fn new(next: &str, trouble: Option<Trouble>) -> Self {
        let trouble = trouble.map(|trouble| match trouble {
            Trouble::Wrong => "This is not the token.".to_owned(),
            Trouble::TooMany(seconds) => {
                format!("Too many wrong tokens came from your address. Try again in {seconds} s.")
            }
        });
        Self { style: &STYLE_VERSION, next: next.to_owned(), trouble }
    }
}

impl Overview {
    fn new(report: &Report, now: Timestamp) -> Self {
        let (tone, status) = match report.status {
            Status::Ok => ("good", "Working"),
            Status::Degraded => ("busy", "Needs a look"),
            Status::Down => ("bad", "Not taking mail"),
        };
        let queue = report.counts.map(|counts| QueueView {
            queued: counts.queued,
            sending: counts.sending,
            failed: counts.failed,
            oldest: counts.oldest.map(|_| words::span(report.oldest_seconds)),
        });
        Self {
            tone,
            status,
            smtp: report.listening.iter().map(ToString::to_string).collect(),
            places: report.listening.iter().map(place).collect(),
            connections: report.connections,
            uptime: words::span(report.uptime_seconds),
            queue,
            providers: report.providers.iter().map(|p| ProviderView::new(p, now)).collect(),
            needs_providers: report.needs_providers,
        }
    }
}

impl ProviderView {
    fn new(provider: &ProviderStatus, now: Timestamp) -> Self {
        let (tone, state) = match provider.state {
            ProviderState::Up => ("good", "up"),
            ProviderState::Throttled => ("busy", "throttled: it asked for a pause"),
            ProviderState::Exhausted => ("busy", "exhausted: the quota is used up"),
            ProviderState::Misconfigured => ("bad", "misconfigured: see key, domain, account"),
            ProviderState::Down => ("bad", "down: it does not answer properly"),
        };
        let error = provider.last_error.as_ref().map(|(_, text)| text.clone());
        Self {
            name: provider.name.clone(),
            tone,
            state,
            error: error.filter(|_| provider.state != ProviderState::Up),
            last_success: provider.last_success.map(|at| Moment::past(at, now)),
        }
    }
}

impl StateLink {
    fn all(filter: &Filter) -> Vec<Self> {
        let states = std::iter::once(None).chain(State::ALL.map(Some));
        let each = |state: Option<State>| Self {
            name: state.map_or("all", State::name),
            link: link(state, filter, None),
            chosen: state == filter.state,
        };
        states.map(each).collect()
    }
}

impl Row {
    fn new(summary: &Summary, now: Timestamp) -> Self {
        let sender = || summary.sender.as_ref().map_or("<>", Address::as_str);
        let header = Some(summary.index.header_from.as_str()).filter(|from| !from.is_empty());
        let from = header.unwrap_or_else(sender);
        let name =
            from.rsplit_once('<').map(|(name, _)| name.trim()).filter(|name| !name.is_empty());
        let to = summary.recipients.first().map_or("", |recipient| recipient.address.as_str());
        Self {
            link: format!("/messages/{}", summary.id),
            state: summary.state.name(),
            tone: tone(summary.state),
            received: Moment::past(summary.received_at, now),
            from: from.to_owned(),
            author: name.unwrap_or(from).to_owned(),
            to: to.to_owned(),
            more: summary.recipients.len().saturating_sub(1),
            subject: summary.index.subject.clone(),
            provider: summary.provider.clone().unwrap_or_default(),
            error: summary.error.clone(),
        }
    }
}

impl ProviderId {
    fn of(attempt: &Attempt) -> Option<Self> {
        let id = attempt.provider_message_id.clone()?;
        Some(Self { id, provider: attempt.provider.clone() })
    }
}

impl Recipient {
    fn new(recipient: &RecipientStatus) -> Self {
        let tone = match recipient.state {
            RecipientState::Queued => tone(State::Queued),
            RecipientState::Delivered => tone(State::Delivered),
            RecipientState::Failed | RecipientState::Suppressed => tone(State::Failed),
            RecipientState::Cancelled => tone(State::Cancelled),
        };
        Self {
            address: recipient.address.to_string(),
            state: recipient.state.name(),
            tone,
            reason: recipient.reason.clone(),
        }
    }
}

impl AttemptView {
    fn new(attempt: &Attempt, now: Timestamp) -> Self {
        use crate::queue::Outcome::*;

        let tone = match attempt.outcome {
            Delivered => "good",
            Throttled | Exhausted | Temporary | Unfit => "busy",
            Misconfigured | Rejected | Unknown | Bug => "bad",
        };
        let losses = attempt.losses.iter().map(|loss| LossView {
            text: format!("{}: {}", loss.what, loss.why),
            grave: loss.grave,
        });
        Self {
            at: Moment::past(attempt.at, now),
            provider: attempt.provider.clone(),
            outcome: attempt.outcome.name(),
            tone,
            error: attempt.error.clone(),
            provider_message_id: attempt.provider_message_id.clone(),
            latency_ms: attempt.latency_ms,
            losses: losses.collect(),
        }
    }
}

/// Where an app reaches a listener; "every address" is none that it could use.
fn place(listening: &SocketAddr) -> String {
    if listening.ip().is_unspecified() {
        format!("port {} of this machine", listening.port())
    } else {
        listening.to_string()
    }
}

/// The class of the style that colours a state.
fn tone(state: State) -> &'static str {
    match state {
        State::Queued => "wait",
        State::Sending => "busy",
        State::Delivered => "good",
        State::Failed => "bad",
        State::Cancelled => "calm",
    }
}

/// The list under another state or cursor, with the rest of the filter kept.
fn link(state: Option<State>, filter: &Filter, before: Option<String>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let state = state.map(|state| state.name().to_owned());
    let pairs = [
        ("state", state),
        ("provider", filter.provider.clone()),
        ("q", filter.text.clone()),
        ("before", before),
    ];
    query.extend_pairs(pairs.into_iter().filter_map(|(name, value)| Some((name, value?))));
    match query.finish() {
        query if query.is_empty() => "/".to_owned(),
        query => format!("/?{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::sample;

    fn report(providers: Vec<ProviderStatus>, needs_providers: bool) -> Report {
        Report {
            status: Status::Degraded,
            listening: vec!["127.0.0.1:1025".parse().unwrap()],
            connections: 2,
            backend: "sqlite",
            counts: Some(crate::queue::Counts {
                queued: 3,
                failed: 4,
                oldest: Some(sample::now()),
                ..Default::default()
            }),
            oldest_seconds: 0,
            uptime_seconds: 7,
            providers,
            needs_providers,
        }
    }

    fn messages(page: &Page, filter: &Filter) -> String {
        let report = report(vec![sample::provider("resend", ProviderState::Misconfigured)], true);
        MessagesPage::new(&report, page, filter, sample::now()).render().unwrap()
    }

    #[test]
    fn no_provider_is_missing_where_apps_bring_their_accounts() {
        let page = |needs_providers| {
            let (report, none) = (report(Vec::new(), needs_providers), Page::default());
            let page = MessagesPage::new(&report, &none, &Filter::default(), sample::now());
            page.render().unwrap()
        };
        assert!(page(true).contains("none is configured"));
        assert!(!page(false).contains("none is configured") && page(false).contains("apps bring"));
    }

    #[test]
    fn the_list_shows_what_happened_to_each_message() {
        let page = Page { messages: vec![sample::failed().summary], next: None };
        let html = messages(&page, &Filter::default());
        for text in [
            "failed",
            "app@example.org",
            "ada@example.org",
            "가입을 환영합니다",
            "422: no such user",
            "misconfigured",
            "127.0.0.1:1025",
        ] {
            assert!(html.contains(text), "{text} is missing in {html}");
        }
    }

    #[test]
    fn what_strangers_write_is_text_on_the_page() {
        let mut details = sample::failed();
        details.summary.index.subject = "<script>alert(1)</script>".to_owned();
        details.summary.index.header_from = "\"><img src=x> <a@b.example>".to_owned();
        details.summary.error = Some("'<u>&".to_owned());
        details.attempts[0].error = Some("<iframe>".to_owned());
        let page = Page { messages: vec![details.summary.clone()], next: None };
        let filter = Filter { text: Some("\"><script>".to_owned()), ..Filter::default() };
        let message = MessagePage::new(&details, sample::now()).render().unwrap();
        for html in [messages(&page, &filter), message] {
            for tag in ["<script", "<img src=x", "<u>", "<iframe"] {
                assert!(!html.contains(tag), "{tag} in {html}");
            }
            assert!(html.contains("&#60;script&#62;alert(1)"), "{html}");
        }
    }

    #[test]
    fn paging_keeps_the_filter() {
        let next = sample::failed().summary.id;
        let page = Page { messages: vec![sample::failed().summary], next: Some(next) };
        let filter = Filter {
            state: Some(State::Failed),
            text: Some("a&b".to_owned()),
            before: Some(next),
            ..Filter::default()
        };
        let view = messages(&page, &filter);
        let older = format!("/?state=failed&#38;q=a%26b&#38;before={next}");
        assert!(view.contains(&older), "{older} is missing in {view}");
        assert!(view.contains("\"/?state=failed&#38;q=a%26b\""), "the way back to the newest");
    }

    #[test]
    fn a_message_is_shown_with_recipients_attempts_and_losses() {
        let html = MessagePage::new(&sample::failed(), sample::now()).render().unwrap();
        for text in ["bob@example.org", "no such user", "rejected", "87 ms", "header X-Odd", ".eml"]
        {
            assert!(html.contains(text), "{text} is missing in {html}");
        }
    }
}
