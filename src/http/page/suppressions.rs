//! The addresses that get no mail.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{RawQuery, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;
use url::form_urlencoded;

use super::super::error::Problem;
use super::super::form::Form;
use super::super::health::Report;
use super::super::side::Context;
use super::super::suppressions::{self, put, read_entry, read_filter, take_off};
use super::acts::answer;
use super::frame::{Frame, Section};
use super::visit::Visit;
use super::words::{Moment, Words, fill};
use super::{problem, render, take_parameter};
use crate::clock::Timestamp;
use crate::queue::{Suppression, SuppressionPage, SuppressionReason};

/// `GET /suppressions`
pub(in crate::http) async fn show(
    Shared(context): Shared<Arc<Context>>,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Response {
    let (query, done) = take_parameter(query.as_deref().unwrap_or_default(), "done");
    let filter = match read_filter(Some(&query)) {
        Ok(filter) => filter,
        Err(found) => return problem(&found),
    };
    let text = filter.text.clone();
    let list = context.ask(context.side.store.suppressions().list(filter));
    let (report, list) = tokio::join!(Report::take(&context), list);
    match list {
        Ok(page) => {
            let frame = Frame::new(&visit, Section::Suppressions, context.is_catching());
            let frame = frame.live(&report).done(done.as_deref());
            let is_forgotten = !context.side.delivery.has_queue();
            let page = SuppressionsPage {
                is_forgotten,
                ..SuppressionsPage::new(frame, &page, text, context.now())
            };
            render(StatusCode::OK, &page)
        }
        Err(found) => problem(&found),
    }
}

/// `POST /suppressions`: puts an address on the list.
pub(in crate::http) async fn add(
    Shared(context): Shared<Arc<Context>>,
    Extension(form): Extension<Form>,
) -> Response {
    let done = async {
        let field = |name| form.get(name).unwrap_or_default();
        let body = json!({ "address": field("address"), "note": field("note") }).to_string();
        let entry = read_entry(body.as_bytes(), context.now())?;
        put(&context, entry).await?;
        Ok("/suppressions?done=add".to_owned())
    };
    answer(done.await)
}

/// `POST /suppressions/remove`: takes an address off the list. Whoever is not on it already gets mail.
pub(in crate::http) async fn remove(
    Shared(context): Shared<Arc<Context>>,
    Extension(form): Extension<Form>,
) -> Response {
    let done = async {
        let address = form.get("address").unwrap_or_default().parse();
        let address = address.map_err(|error| {
            Problem::bad_input("invalid_field", format!("\"address\": {error}"))
        })?;
        take_off(&context, &address).await?;
        Ok("/suppressions?done=remove".to_owned())
    };
    answer(done.await)
}

#[derive(Debug, Template)]
#[template(path = "suppressions.html", whitespace = "minimize")]
struct SuppressionsPage {
    frame: Frame,
    t: &'static Words,
    /// A restart forgets the list: there is no queue.
    is_forgotten: bool,
    search: String,
    entries: Vec<EntryView>,
    older: Option<String>,
}

#[derive(Debug)]
struct EntryView {
    address: String,
    reason: &'static str,
    note: String,
    since: Moment,
    /// What the button does, for those who do not see the row it is in.
    remove: String,
}

impl SuppressionsPage {
    fn new(frame: Frame, page: &SuppressionPage, text: Option<String>, now: Timestamp) -> Self {
        let t = frame.t;
        let older = page.next.as_ref().map(|cursor| {
            let mut query = form_urlencoded::Serializer::new("/suppressions?".to_owned());
            if let Some(text) = &text {
                query.append_pair("q", text);
            }
            query.append_pair("before", &suppressions::write_cursor(cursor)).finish()
        });
        Self {
            is_forgotten: false,
            search: text.unwrap_or_default(),
            entries: page.entries.iter().map(|entry| EntryView::new(entry, now, t)).collect(),
            older,
            frame,
            t,
        }
    }
}

impl EntryView {
    fn new(entry: &Suppression, now: Timestamp, t: &'static Words) -> Self {
        Self {
            address: entry.address.to_string(),
            reason: match entry.reason {
                SuppressionReason::Manual => t.reason_manual,
                SuppressionReason::Bounced => t.reason_bounced,
                SuppressionReason::Complained => t.reason_complained,
            },
            note: entry.note.clone().unwrap_or_default(),
            since: Moment::past(entry.since, now, t),
            remove: fill(t.remove_address, &[entry.address.as_str()]),
        }
    }
}
