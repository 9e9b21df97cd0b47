//! `GET /metrics`, for Prometheus.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::health::Report;
use super::side::Context;
use crate::delivery::ProviderState;
use crate::metrics::{MEDIA_TYPE, Now};

/// The counters, and what the store and delivery say now.
pub(super) async fn show(Shared(context): Shared<Arc<Context>>) -> Response {
    let report = Report::take(&context).await;
    let configured = context.side.delivery.providers();
    let providers = report.providers.into_iter().filter(|own| configured.contains(&own.name));
    let queue = report.counts.map(|counts| {
        let states =
            [("queued", counts.queued), ("sending", counts.sending), ("failed", counts.failed)];
        (states.to_vec(), report.oldest_seconds)
    });
    let now =
        Now { providers: providers.map(|own| (own.name, takes_mail(own.state))).collect(), queue };
    let text = context.side.delivery.metrics().render(&now);
    ([(CONTENT_TYPE, MEDIA_TYPE)], text).into_response()
}

/// One that asked for a rest of seconds is not down.
fn takes_mail(state: ProviderState) -> bool {
    match state {
        ProviderState::Up | ProviderState::Throttled => true,
        ProviderState::Exhausted | ProviderState::Misconfigured | ProviderState::Down => false,
    }
}
