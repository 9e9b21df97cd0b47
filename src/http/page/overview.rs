//! The overview: is it working, and if not, what is to be done.

use std::sync::Arc;

use askama::Template;
use axum::extract::{RawQuery, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::health::{Report, Status};
use super::super::side::Context;
use super::super::stats::{self, Stats};
use super::chart::{Calls, Charts, Window};
use super::frame::{Frame, Section};
use super::row::Row;
use super::visit::Visit;
use super::words::{Moment, Words, fill, grouped, span};
use super::{list, parameter, render};
use crate::clock::Timestamp;
use crate::delivery::{ProviderState, ProviderStatus};
use crate::queue::{Filter, Page, State};

/// How many of the newest failures are shown.
const FAILURES: usize = 5;

/// `GET /overview`, and `GET /` where mail goes out.
pub(super) async fn show(context: Arc<Context>, visit: &Visit, query: Option<&str>) -> Response {
    let window = parameter(query, "window");
    let window = Window::ALL.into_iter().find(|it| Some(it.tag()) == window.as_deref());
    let window = window.unwrap_or(Window::Day);
    let now = context.now();
    let store = &context.side.store;
    let failures = Filter { state: Some(State::Failed), limit: FAILURES, ..Filter::default() };
    let (report, stats, failures, newest) = tokio::join!(
        Report::take(&context),
        stats::read(&context, window.of_stats()),
        context.ask(store.list(failures)),
        context.ask(store.list(Filter { limit: 1, ..Filter::default() })),
    );
    let seen = Seen {
        report,
        stats: stats.ok(),
        failures: failures.unwrap_or_default(),
        // What cannot be read is not empty.
        any_mail: newest.map_or(true, |page| !page.messages.is_empty()),
        catching: context.is_catching(),
    };
    render(StatusCode::OK, &OverviewPage::new(visit, window, &seen, now))
}

/// `GET /overview`
pub(in crate::http) async fn overview(
    Shared(context): Shared<Arc<Context>>,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Response {
    show(context, &visit, query.as_deref()).await
}

/// What was found for the page.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) report: Report,
    /// `None`: they cannot be read.
    pub(super) stats: Option<Stats>,
    pub(super) failures: Page,
    pub(super) any_mail: bool,
    pub(super) catching: bool,
}

#[derive(Debug, Template)]
#[template(path = "overview.html", whitespace = "minimize")]
pub(super) struct OverviewPage {
    frame: Frame,
    t: &'static Words,
    verdict: Verdict,
    smtp: Vec<String>,
    /// The same, for somebody who configures an app.
    first_steps: String,
    any_mail: bool,
    connections: String,
    uptime: String,
    queue: Option<QueueView>,
    providers: Vec<ProviderView>,
    /// Without one, no mail goes out.
    needs_providers: bool,
    windows: Vec<WindowLink>,
    charts: Option<Charts>,
    failures: Vec<Row>,
    more_failures: bool,
}

/// The answer to: is it working?
#[derive(Debug)]
struct Verdict {
    tone: &'static str,
    title: &'static str,
    text: &'static str,
}

#[derive(Debug)]
struct QueueView {
    queued: String,
    sending: String,
    failed: String,
    any_failed: bool,
    oldest: Option<String>,
}

#[derive(Debug)]
struct ProviderView {
    name: String,
    tone: &'static str,
    state: &'static str,
    /// The last error, while it matters: as long as the provider is not up.
    error: Option<ErrorView>,
    todo: Option<&'static str>,
    last_success: Option<Moment>,
    calls: Calls,
}

#[derive(Debug)]
struct ErrorView {
    at: Moment,
    text: String,
}

#[derive(Debug)]
struct WindowLink {
    name: &'static str,
    link: String,
    chosen: bool,
}

impl OverviewPage {
    pub(super) fn new(visit: &Visit, window: Window, seen: &Seen, now: Timestamp) -> Self {
        let t = visit.words();
        let report = &seen.report;
        let frame = Frame::new(visit, Section::Overview, seen.catching).live(report);
        let path = frame.overview_link;
        let charts = seen.stats.as_ref().map(|it| Charts::new(window, it, t));
        let calls = charts.as_ref().map_or(&[][..], |charts| charts.calls.as_slice());
        let queue = report.counts.map(|counts| QueueView {
            queued: grouped(counts.queued),
            sending: grouped(counts.sending),
            failed: grouped(counts.failed),
            any_failed: counts.failed > 0,
            oldest: counts.oldest.map(|_| fill(t.oldest, &[&span(report.oldest_seconds, t)])),
        });
        let window_link = |it: Window| WindowLink {
            name: it.name(t),
            link: format!("{path}?window={}", it.tag()),
            chosen: it == window,
        };
        Self {
            verdict: Verdict::new(report, seen.catching, t),
            smtp: report.listening.iter().map(ToString::to_string).collect(),
            first_steps: list::first_steps(&report.listening, t),
            any_mail: seen.any_mail,
            connections: t.connections_n.of(u64::try_from(report.connections).unwrap_or(0)),
            uptime: fill(t.uptime, &[&span(report.uptime_seconds, t)]),
            queue,
            providers: report
                .providers
                .iter()
                .map(|it| ProviderView::new(it, calls, now, t))
                .collect(),
            needs_providers: report.needs_providers,
            windows: Window::ALL.map(window_link).into(),
            charts,
            failures: seen.failures.messages.iter().map(|it| Row::new(it, now, t)).collect(),
            more_failures: seen.failures.next.is_some(),
            frame,
            t,
        }
    }
}

impl Verdict {
    fn new(report: &Report, catching: bool, t: &'static Words) -> Self {
        let unwell = report.providers.iter().any(|it| it.state != ProviderState::Up)
            || (report.needs_providers && report.providers.is_empty());
        let (tone, title, text) = match report.status {
            Status::Ok if catching => ("good", t.working, t.working_catching),
            Status::Ok => ("good", t.working, t.working_more),
            Status::Degraded if unwell => ("busy", t.needs_look, t.needs_look_more),
            Status::Degraded => ("busy", t.needs_look, t.nearly_full),
            Status::Down => ("bad", t.not_taking, t.not_taking_more),
        };
        Self { tone, title, text }
    }
}

impl ProviderView {
    fn new(provider: &ProviderStatus, calls: &[Calls], now: Timestamp, t: &'static Words) -> Self {
        let (tone, state, todo) = match provider.state {
            ProviderState::Up => ("good", t.up, None),
            ProviderState::Throttled => ("busy", t.throttled, Some(t.throttled_do)),
            ProviderState::Exhausted => ("busy", t.exhausted, Some(t.exhausted_do)),
            ProviderState::Misconfigured => ("bad", t.misconfigured, Some(t.misconfigured_do)),
            ProviderState::Down => ("bad", t.down, Some(t.down_do)),
        };
        let error = provider.last_error.as_ref().filter(|_| provider.state != ProviderState::Up);
        let own = calls.iter().find(|it| it.provider == provider.name);
        Self {
            name: provider.name.clone(),
            tone,
            state,
            error: error
                .map(|(at, text)| ErrorView { at: Moment::past(*at, now, t), text: text.clone() }),
            todo,
            last_success: provider.last_success.map(|at| Moment::past(at, now, t)),
            calls: own.cloned().unwrap_or_default(),
        }
    }
}
