//! `GET /metrics`, for Prometheus.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE, VARY};
use axum::response::{IntoResponse, Response};

use super::health::Report;
use super::side::Context;
use crate::delivery::{ProviderState, ProviderStatus};
use crate::metrics::{Format, Now, Process, ProviderNow, QueueNow};

/// The counters, and what the store, delivery and the system say now.
#[utoipa::path(
    get, path = "/metrics", operation_id = "showMetrics", tag = "state", summary = "Figures for Prometheus",
    responses(
        (status = 200, description = "As the header Accept asks for it", content(
            (String = "text/plain; version=0.0.4; charset=utf-8"),
            (String = "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        )),
    ),
)]
pub(super) async fn show(Shared(context): Shared<Arc<Context>>, headers: HeaderMap) -> Response {
    let side = &context.side;
    let started = side.started.as_duration().as_secs_f64();
    // Nothing here touches a disk, but a folder with an entry for each connection takes its time.
    let process = tokio::task::spawn_blocking(move || Process::read(started));
    let report = Report::take(&context).await;
    let configured = side.delivery.providers();
    let providers = report.providers.into_iter().filter(|own| configured.contains(&own.name));
    let queue = report.counts.map(|counts| QueueNow {
        messages: vec![
            ("queued", counts.queued),
            ("sending", counts.sending),
            ("failed", counts.failed),
        ],
        messages_max: side.queue_messages_max,
        oldest_seconds: report.oldest_seconds,
    });
    let now = Now {
        providers: providers.map(provider).collect(),
        queue,
        smtp_connections: u64::try_from(report.connections).unwrap_or(u64::MAX),
        process: process.await.ok(),
    };
    let accept: Vec<&str> =
        headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = Format::wanted(&accept.join(","));
    let text = side.delivery.metrics().render(now, format);
    ([(CONTENT_TYPE, format.media_type()), (VARY, "accept")], text).into_response()
}

fn provider(status: ProviderStatus) -> ProviderNow {
    let up = takes_mail(status.state);
    ProviderNow { name: status.name, up, state: status.state.name() }
}

/// One that asked for a rest of seconds is not down.
fn takes_mail(state: ProviderState) -> bool {
    match state {
        ProviderState::Up | ProviderState::Throttled => true,
        ProviderState::Exhausted | ProviderState::Misconfigured | ProviderState::Down => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::PROVIDER_STATES;

    #[test]
    fn every_state_of_a_provider_has_a_figure() {
        use ProviderState::{Down, Exhausted, Misconfigured, Throttled, Up};
        let states = [Up, Throttled, Exhausted, Misconfigured, Down];
        assert_eq!(states.map(ProviderState::name), PROVIDER_STATES);
    }
}
