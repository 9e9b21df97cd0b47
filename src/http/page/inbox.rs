//! The inbox: where mail is caught, the list and the newest message beside each other.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;

use super::super::filter;
use super::super::health::Report;
use super::super::side::Context;
use super::frame::{Frame, Section};
use super::list::{ListView, Shown};
use super::message::{MessagePage, MessageView};
use super::visit::Visit;
use super::{problem, render, take_parameter};
use crate::message::QueueId;

/// `GET /` where mail is caught. `message` is what the script asks for that keeps the page up to date: the message which is
/// open, so that a newer one does not take its place under who reads it.
pub(super) async fn show(context: Arc<Context>, visit: &Visit, query: Option<&str>) -> Response {
    let (query, done) = take_parameter(query.unwrap_or_default(), "done");
    let (query, open) = take_parameter(&query, "message");
    let filter = match filter::parse(&query) {
        Ok(filter) => filter,
        Err(found) => return problem(&found),
    };
    let list = context.ask(context.side.store.list(filter.clone()));
    let (report, list) = tokio::join!(Report::take(&context), list);
    let page = match list {
        Ok(page) => page,
        Err(found) => return problem(&found),
    };
    let t = visit.words();
    let newest = page.messages.first().map(|it| it.id);
    let open = open.and_then(|id| id.parse::<QueueId>().ok()).filter(|open| Some(*open) != newest);
    let mut message = None;
    // What is open may be past its time: then the newest is shown.
    for id in open.into_iter().chain(newest) {
        let details = context.ask(context.side.store.show(id)).await;
        if let Ok(Some(details)) = details {
            message = Some(MessageView::read(&context, &details, None, t).await);
            break;
        }
    }
    let shown = Shown { path: "/", report: &report, filter: &filter, names: &[] };
    let list = Some(ListView::new(&shown, &page, context.now(), t));
    let frame = Frame::new(visit, Section::Inbox, true).live(&report).done(done.as_deref());
    render(StatusCode::OK, &MessagePage { t, frame, list, message, alone: false })
}
