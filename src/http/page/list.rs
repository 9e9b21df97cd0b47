//! The list of messages: search, states, paging; as a table, or beside a message where mail is caught.

use std::net::SocketAddr;
use std::sync::Arc;

use askama::Template;
use axum::extract::{RawQuery, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;
use url::form_urlencoded;

use super::super::filter;
use super::super::health::Report;
use super::super::side::Context;
use super::frame::{Frame, Section};
use super::row::{self, Row};
use super::visit::Visit;
use super::words::{Words, fill, grouped};
use super::{problem, render, take_parameter};
use crate::clock::Timestamp;
use crate::queue::{Counts, Filter, Page, State};

/// `GET /messages`
pub(in crate::http) async fn messages(
    Shared(context): Shared<Arc<Context>>,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Response {
    let (query, done) = take_parameter(query.as_deref().unwrap_or_default(), "done");
    let (query, next) = take_parameter(&query, "next");
    let filter = match filter::parse(&query) {
        Ok(filter) => filter,
        Err(found) => return problem(&found),
    };
    let list = context.ask(context.side.store.list(filter.clone()));
    let (report, list) = tokio::join!(Report::take(&context), list);
    match list {
        Ok(page) => {
            let frame = Frame::new(&visit, Section::Messages, context.is_catching());
            let frame = frame.live(&report).done(done.as_deref()).rest(next.as_deref());
            let names = context.side.delivery.providers();
            let list = ListView::new(
                &Shown { path: "/messages", report: &report, filter: &filter, names: &names },
                &page,
                context.now(),
                visit.words(),
            );
            render(StatusCode::OK, &MessagesPage { t: visit.words(), frame, list })
        }
        Err(found) => problem(&found),
    }
}

#[derive(Debug, Template)]
#[template(path = "messages.html", whitespace = "minimize")]
pub(super) struct MessagesPage {
    pub(super) frame: Frame,
    pub(super) t: &'static Words,
    pub(super) list: ListView,
}

/// Which list is shown, and where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<'a> {
    /// The path of the page it is on.
    pub(super) path: &'static str,
    pub(super) report: &'a Report,
    pub(super) filter: &'a Filter,
    /// The configured providers.
    pub(super) names: &'a [String],
}

/// A page of messages.
#[derive(Debug)]
pub(super) struct ListView {
    pub(super) path: &'static str,
    pub(super) states: Vec<StateLink>,
    pub(super) providers: Vec<Choice>,
    pub(super) search: String,
    /// The chosen state, which the search keeps.
    pub(super) state: &'static str,
    pub(super) rows: Vec<Row>,
    pub(super) filtered: bool,
    /// Links to the pages before and after this one.
    pub(super) newest: Option<String>,
    pub(super) older: Option<String>,
    /// This page is short and yet not the last: not everything has been looked at.
    pub(super) unfinished: bool,
    /// All that failed is what is shown.
    pub(super) may_retry_all: bool,
    pub(super) first_steps: String,
}

/// One of several names to choose.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) name: String,
    pub(super) chosen: bool,
}

#[derive(Debug)]
pub(super) struct StateLink {
    pub(super) name: &'static str,
    pub(super) link: String,
    pub(super) chosen: bool,
    /// How many there are, where that is known.
    pub(super) count: Option<String>,
    pub(super) alarm: bool,
}

impl ListView {
    pub(super) fn new(shown: &Shown<'_>, page: &Page, now: Timestamp, t: &'static Words) -> Self {
        let Shown { path, report, filter, names } = *shown;
        let link = |before| link(path, filter.state, filter, before);
        let chosen = filter.provider.as_deref();
        let mut providers: Vec<Choice> = names
            .iter()
            .map(|name| Choice { name: name.clone(), chosen: Some(name.as_str()) == chosen })
            .collect();
        // One that is not configured any more still has its messages.
        if let Some(name) = chosen
            && !names.iter().any(|known| known == name)
        {
            providers.push(Choice { name: name.to_owned(), chosen: true });
        }
        let failed = filter.state == Some(State::Failed);
        let only_state = filter.text.is_none() && filter.provider.is_none();
        Self {
            path,
            states: StateLink::all(path, filter, report.counts, t),
            providers,
            search: filter.text.clone().unwrap_or_default(),
            state: filter.state.map_or("", State::name),
            rows: page.messages.iter().map(|summary| Row::new(summary, now, t)).collect(),
            filtered: filter.state.is_some() || !only_state,
            newest: filter.before.map(|_| link(None)),
            older: page.next.map(|next| link(Some(next.to_string()))),
            unfinished: page.next.is_some() && page.messages.len() < filter.limit,
            may_retry_all: failed && only_state && !page.messages.is_empty(),
            first_steps: first_steps(&report.listening, t),
        }
    }
}

impl StateLink {
    fn all(path: &str, filter: &Filter, counts: Option<Counts>, t: &'static Words) -> Vec<Self> {
        let states = std::iter::once(None).chain(State::ALL.map(Some));
        let count = |state| match state {
            Some(State::Queued) => counts.map(|it| it.queued),
            Some(State::Sending) => counts.map(|it| it.sending),
            Some(State::Failed) => counts.map(|it| it.failed),
            Some(State::Delivered | State::Cancelled) | None => None,
        };
        let each = |state: Option<State>| Self {
            name: state.map_or(t.all, |state| row::state(state, t)),
            link: link(path, state, filter, None),
            chosen: state == filter.state,
            count: count(state).map(grouped),
            alarm: state == Some(State::Failed) && count(state).is_some_and(|it| it > 0),
        };
        states.map(each).collect()
    }
}

/// A link to the same list with this state, from this cursor on.
fn link(path: &str, state: Option<State>, filter: &Filter, before: Option<String>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let pairs = [
        ("state", state.map(|state| state.name().to_owned())),
        ("provider", filter.provider.clone()),
        ("q", filter.text.clone()),
        ("limit", Some(filter.limit.to_string()).filter(|_| filter.limit != filter::LIMIT_DEFAULT)),
        ("before", before),
    ];
    for (name, value) in pairs {
        if let Some(value) = value {
            query.append_pair(name, &value);
        }
    }
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// How the first mail comes here.
pub(super) fn first_steps(listening: &[SocketAddr], t: &Words) -> String {
    let places: Vec<String> = listening.iter().map(|address| place(*address, t)).collect();
    fill(t.no_mail_more, &[&places.join(&format!(" {} ", t.or))])
}

/// Where an app sends to. Nobody sends to "any address" or, from another machine, to the loopback.
fn place(address: SocketAddr, t: &Words) -> String {
    if address.ip().is_unspecified() {
        fill(t.port_at, &[&address.port().to_string()])
    } else {
        address.to_string()
    }
}
