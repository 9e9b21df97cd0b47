//! One message: where it is, what is in it, what was tried, and what can be done.

mod content;
mod delivery;
mod standing;

use std::sync::Arc;

use askama::Template;
use axum::extract::{RawQuery, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;

use self::content::ContentView;
use self::delivery::DeliveryView;
use self::standing::Standing;
use super::super::api::{self, IdPath};
use super::super::error::Problem;
use super::super::health::Report;
use super::super::request::{self, RequestJson};
use super::super::side::Context;
use super::frame::{Frame, Section};
use super::list::{ListView, Shown};
use super::row::Row;
use super::visit::Visit;
use super::words::{Words, fill, size};
use super::{parameter, problem, render};
use crate::clock::Timestamp;
use crate::message::Address;
use crate::queue::{Details, Filter, RecipientState, RecipientStatus, State, Summary};

/// How much of the body of a request is shown, octets.
const BODY_SHOWN_MAX: usize = 256 * 1024;

/// Recipients in the head of a message.
const RECIPIENTS_SHOWN: usize = 5;

/// `GET /messages/{id}`: one message, with what was tried; beside the list where mail is caught.
pub(in crate::http) async fn message(
    Shared(context): Shared<Arc<Context>>,
    visit: Visit,
    id: IdPath,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.as_deref();
    let (details, report) = tokio::join!(api::find(&context, id), Report::take(&context));
    let details = match details {
        Ok(details) => details,
        Err(found) => return problem(&found),
    };
    let t = visit.words();
    let section = if context.is_catching() { Section::Inbox } else { Section::Messages };
    let frame = Frame::new(&visit, section, context.is_catching()).live(&report);
    let list = if context.is_catching() { inbox(&context, &report, t).await } else { None };
    let message = MessageView::read(&context, &details, query, t).await;
    let frame = frame.done(parameter(query, "done").as_deref());
    let page = MessagePage { t, frame, list, message: Some(message), alone: true };
    render(StatusCode::OK, &page)
}

/// The newest messages, to stand beside one.
async fn inbox(context: &Context, report: &Report, t: &'static Words) -> Option<ListView> {
    let filter = Filter { limit: super::super::filter::LIMIT_DEFAULT, ..Filter::default() };
    let page = context.ask(context.side.store.list(filter.clone())).await.ok()?;
    let shown = Shown { path: "/", report, filter: &filter, names: &[] };
    Some(ListView::new(&shown, &page, context.now(), t))
}

/// A message, a list, or both beside each other.
#[derive(Debug, Template)]
#[template(path = "message.html", whitespace = "minimize")]
pub(super) struct MessagePage {
    pub(super) t: &'static Words,
    pub(super) frame: Frame,
    pub(super) list: Option<ListView>,
    pub(super) message: Option<MessageView>,
    /// The message was asked for: where there is place for one only, it is the message.
    pub(super) alone: bool,
}

/// The views of a message that its tabs lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tab {
    Preview,
    Text,
    Headers,
    Source,
    Attachments,
    Delivery,
    Request,
}

impl Tab {
    const ALL: [Self; 7] = [
        Self::Preview,
        Self::Text,
        Self::Headers,
        Self::Source,
        Self::Attachments,
        Self::Delivery,
        Self::Request,
    ];

    fn tag(self) -> &'static str {
        match self {
            Self::Preview => "preview",
            Self::Text => "text",
            Self::Headers => "headers",
            Self::Source => "source",
            Self::Attachments => "attachments",
            Self::Delivery => "delivery",
            Self::Request => "request",
        }
    }

    fn name(self, t: &Words) -> &'static str {
        match self {
            Self::Preview => t.tab_preview,
            Self::Text => t.tab_text,
            Self::Headers => t.tab_headers,
            Self::Source => t.tab_source,
            Self::Attachments => t.tab_attachments,
            Self::Delivery => t.tab_delivery,
            Self::Request => t.tab_request,
        }
    }

    /// What is asked for; else what a person wants to know first: of mail that has arrived what it says, of other mail
    /// why it has not.
    fn of(query: Option<&str>, arrived: bool) -> Self {
        let asked = parameter(query, "tab");
        let asked = Self::ALL.into_iter().find(|tab| Some(tab.tag()) == asked.as_deref());
        asked.unwrap_or(if arrived { Self::Preview } else { Self::Delivery })
    }
}

#[derive(Debug)]
pub(super) struct TabLink {
    pub(super) name: &'static str,
    pub(super) link: String,
    pub(super) chosen: bool,
}

/// One message.
#[derive(Debug)]
pub(super) struct MessageView {
    pub(super) row: Row,
    pub(super) id: String,
    pub(super) path: String,
    pub(super) standing: Standing,
    pub(super) envelope_from: String,
    /// The first of them.
    pub(super) recipients: Vec<String>,
    /// How many there are, when not all are shown.
    pub(super) all_recipients: Option<String>,
    /// The level of its heading: beside the list it is the second.
    pub(super) level: u8,
    pub(super) message_id: String,
    pub(super) size: String,
    pub(super) user: Option<String>,
    pub(super) route: Option<String>,
    /// What providers called it, and which.
    pub(super) provider_ids: Vec<ProviderId>,
    pub(super) tabs: Vec<TabLink>,
    pub(super) body: BodyView,
    pub(super) actions: Actions,
}

/// What the chosen tab shows.
#[derive(Debug)]
pub(super) enum BodyView {
    Content(ContentView),
    Delivery(DeliveryView),
    Request(RequestView),
    /// It cannot be shown, in the words of the API.
    NoRequest(String),
}

/// The request by which a provider got the message.
#[derive(Debug)]
pub(super) struct RequestView {
    pub(super) shown: RequestJson,
    /// A body is longer than is shown.
    pub(super) cut: bool,
}

impl RequestView {
    fn new(mut shown: RequestJson) -> Self {
        let mut cut = false;
        for call in &mut shown.calls {
            if call.body.len() > BODY_SHOWN_MAX {
                call.body.truncate(call.body.floor_char_boundary(BODY_SHOWN_MAX));
                cut = true;
            }
        }
        Self { shown, cut }
    }
}

#[derive(Debug)]
pub(super) struct ProviderId {
    /// `Id at resend`.
    pub(super) label: String,
    pub(super) id: String,
}

/// What may be done to it.
#[derive(Debug)]
pub(super) struct Actions {
    /// The words of the button that sends it again, without any choice.
    pub(super) retry: Option<&'static str>,
    pub(super) cancel: bool,
    /// Sending again with choices: by whom, to whom.
    pub(super) differently: bool,
    pub(super) providers: Vec<String>,
    /// Who would get it, one per line.
    pub(super) recipients: String,
    /// They need not be named: it is for them as it is.
    pub(super) unnamed: bool,
}

impl MessageView {
    /// Reads the content where the chosen tab shows it.
    pub(super) async fn read(
        context: &Arc<Context>,
        details: &Details,
        query: Option<&str>,
        t: &'static Words,
    ) -> Self {
        let arrived = details.summary.state == State::Delivered;
        let tab = Tab::of(query, arrived);
        let body = match tab {
            Tab::Delivery => BodyView::Delivery(DeliveryView::new(details, context.now(), t)),
            Tab::Request => {
                let provider = parameter(query, "provider");
                match request::shown(context, details.summary.id, provider.as_deref()).await {
                    Ok(shown) => BodyView::Request(RequestView::new(shown)),
                    Err(Problem { code: "content_gone", .. }) => {
                        BodyView::Content(ContentView::Gone)
                    }
                    Err(problem) => BodyView::NoRequest(problem.message),
                }
            }
            Tab::Preview | Tab::Text | Tab::Headers | Tab::Source | Tab::Attachments => {
                BodyView::Content(ContentView::read(context, details, tab, query, t).await)
            }
        };
        let names = context.side.delivery.providers();
        let catching = context.is_catching();
        Self::new(&Told { details, tab, names, catching }, body, context.now(), t)
    }

    pub(super) fn new(told: &Told<'_>, body: BodyView, now: Timestamp, t: &'static Words) -> Self {
        let details = told.details;
        let summary = &details.summary;
        let path = format!("/messages/{}", summary.id);
        let link = |tab: Tab| TabLink {
            name: tab.name(t),
            link: format!("{path}?tab={}", tab.tag()),
            chosen: tab == told.tab,
        };
        let first = summary.recipients.iter().take(RECIPIENTS_SHOWN);
        let count = summary.recipients.len();
        let mut provider_ids: Vec<ProviderId> = Vec::new();
        for attempt in &details.attempts {
            if let Some(id) = &attempt.provider_message_id
                && !provider_ids.iter().any(|known| known.id == *id)
            {
                provider_ids.push(ProviderId {
                    label: fill(t.id_at, &[&attempt.provider]),
                    id: id.clone(),
                });
            }
        }
        let mut row = Row::new(summary, now, t);
        if told.catching && summary.state == State::Delivered {
            row.state = t.caught;
        }
        Self {
            row,
            id: summary.id.to_string(),
            standing: Standing::new(details, told.catching, now, t),
            envelope_from: summary.sender.as_ref().map_or("<>", Address::as_str).to_owned(),
            recipients: first.map(|it| it.address.to_string()).collect(),
            all_recipients: (count > RECIPIENTS_SHOWN).then(|| t.recipients_n.of(count as u64)),
            level: if told.catching { 2 } else { 1 },
            message_id: summary.index.message_id.clone(),
            size: size(summary.size),
            user: summary.user.clone(),
            route: Some(summary.way.name()).filter(|name| !name.is_empty()).map(str::to_owned),
            provider_ids,
            tabs: Tab::ALL.map(link).into(),
            body,
            actions: Actions::new(told, t),
            path,
        }
    }
}

/// What a message's page is made from, besides the content.
#[derive(Debug)]
pub(super) struct Told<'a> {
    pub(super) details: &'a Details,
    pub(super) tab: Tab,
    /// The configured providers.
    pub(super) names: Vec<String>,
    pub(super) catching: bool,
}

impl Actions {
    fn new(told: &Told<'_>, t: &'static Words) -> Self {
        let Told { details, names, catching, .. } = told;
        let summary = &details.summary;
        let retry = match summary.state {
            State::Queued => Some(t.retry_now),
            State::Failed | State::Cancelled => Some(t.retry),
            State::Sending | State::Delivered => None,
        };
        Self {
            retry,
            cancel: summary.state == State::Queued,
            // Where mail is caught, there is no other way.
            differently: !catching && summary.state != State::Sending,
            providers: names.clone(),
            recipients: waiting(details).join("\n"),
            unnamed: summary.state != State::Delivered,
        }
    }
}

/// Whom a retry without names is for, as the queue has it: who was left out by an operator gets nothing unless nobody
/// else is left. Of a message that everybody has, all.
fn waiting(details: &Details) -> Vec<&str> {
    let Summary { recipients, state, .. } = &details.summary;
    let open = |state: RecipientState| match state {
        RecipientState::Queued | RecipientState::Failed | RecipientState::Suppressed => true,
        RecipientState::Delivered | RecipientState::Cancelled => false,
    };
    let also_cancelled =
        *state == State::Cancelled || !recipients.iter().any(|recipient| open(recipient.state));
    let waits = |of: &&RecipientStatus| {
        open(of.state) || (also_cancelled && of.state == RecipientState::Cancelled)
    };
    let left: Vec<&str> = recipients.iter().filter(waits).map(|it| it.address.as_str()).collect();
    if left.is_empty() { recipients.iter().map(|it| it.address.as_str()).collect() } else { left }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::sample;

    #[test]
    fn a_form_names_those_for_whom_the_queue_would_try_again() {
        use RecipientState::{Cancelled, Delivered, Failed, Queued, Suppressed};
        const ADA: &str = "ada@example.org";
        const BOB: &str = "bob@example.org";
        for (state, of_ada, of_bob, named) in [
            (State::Failed, Delivered, Failed, &[BOB][..]),
            (State::Failed, Cancelled, Failed, &[BOB]),
            (State::Queued, Queued, Cancelled, &[ADA]),
            (State::Failed, Suppressed, Cancelled, &[ADA]),
            (State::Cancelled, Failed, Cancelled, &[ADA, BOB]),
            (State::Cancelled, Delivered, Cancelled, &[BOB]),
            (State::Failed, Delivered, Cancelled, &[BOB]),
            (State::Delivered, Delivered, Delivered, &[ADA, BOB]),
        ] {
            let mut details = sample::failed();
            details.summary.state = state;
            details.summary.recipients[0].state = of_ada;
            details.summary.recipients[1].state = of_bob;
            assert_eq!(waiting(&details), named, "{state:?}: {of_ada:?}, {of_bob:?}");
        }
    }
}
