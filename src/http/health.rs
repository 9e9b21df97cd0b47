//! `/health` and `/ready`.
//!
//! `down` means that a restart could help, because watchdogs restart on it: mail cannot be accepted. A provider that
//! fails or a queue that fills is `degraded`; a restart would mend neither.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::access::Caller;
use super::json::Time;
use super::side::Context;
use crate::clock::Timestamp;
use crate::delivery::{ProviderState, ProviderStatus};
use crate::queue::Counts;

/// How long the store may take to count. It counts at once when it can be used at all.
const COUNT_TIMEOUT: Duration = Duration::from_secs(2);

/// How the relay does, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Ok,
    /// Mail is taken, but a person should look.
    Degraded,
    /// Mail is not taken.
    Down,
}

/// What `/health` and the head of the page say. Taken at one moment.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) status: Status,
    pub(super) listening: Vec<SocketAddr>,
    pub(super) connections: usize,
    pub(super) backend: &'static str,
    /// `None`: the store could not be asked.
    pub(super) counts: Option<Counts>,
    pub(super) oldest_seconds: u64,
    pub(super) uptime_seconds: u64,
    pub(super) providers: Vec<ProviderStatus>,
    /// False where clients bring their accounts: then none has to be configured.
    pub(super) needs_providers: bool,
}

impl Report {
    /// Asks the store and delivery; never waits on a provider, and not for long on the store.
    pub(super) async fn take(context: &Context) -> Self {
        let side = &context.side;
        let counts = tokio::time::timeout(COUNT_TIMEOUT, side.store.counts()).await;
        let counts = counts.ok().and_then(Result::ok);
        let providers = side.delivery.status();
        let now = context.now();
        let full_at = side.queue_messages_max;
        let needs_providers = !side.delivery.expects_accounts();
        Self {
            status: judge(&side.smtp.listening, counts, full_at, &providers, needs_providers),
            listening: side.smtp.listening.clone(),
            connections: side.smtp.connections.load(Ordering::Relaxed),
            backend: side.queue_backend,
            oldest_seconds: counts.map_or(0, |counts| oldest_seconds(counts, now)),
            counts,
            uptime_seconds: seconds_since(side.started, now),
            providers,
            needs_providers,
        }
    }
}

/// From the parts to the one word. Where clients bring their accounts, no provider needs to be there.
fn judge(
    listening: &[SocketAddr],
    counts: Option<Counts>,
    queue_max: u64,
    providers: &[ProviderStatus],
    needs_providers: bool,
) -> Status {
    let Some(counts) = counts.filter(|_| !listening.is_empty()) else { return Status::Down };
    let open = counts.queued.saturating_add(counts.sending);
    let nearly_full = open >= queue_max - queue_max / 10;
    let all_up = providers.iter().all(|provider| provider.state == ProviderState::Up);
    let nobody = needs_providers && providers.is_empty();
    if nearly_full || !all_up || nobody { Status::Degraded } else { Status::Ok }
}

/// How long the oldest open message has been here.
pub(super) fn oldest_seconds(counts: Counts, now: Timestamp) -> u64 {
    counts.oldest.map_or(0, |at| seconds_since(at, now))
}

/// Whole seconds; 0 when the clock was set back meanwhile.
fn seconds_since(then: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.as_second() - then.as_second()).unwrap_or(0)
}

/// `GET /health`: one word for everybody, the details for trusted callers.
#[utoipa::path(
    get, path = "/health", operation_id = "showHealth", tag = "state", summary = "How the relay does",
    description = "One word for everybody; the details only for callers that may use the API.", security(()),
    responses(
        (status = 200, body = HealthJson, description = "`ok` or `degraded`"),
        (status = 503, body = HealthJson, description = "`down`: mail cannot be accepted, and a restart could help"),
    ),
)]
pub(super) async fn health(
    Shared(context): Shared<Arc<Context>>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let report = Report::take(&context).await;
    let code = match report.status {
        Status::Ok | Status::Degraded => StatusCode::OK,
        Status::Down => StatusCode::SERVICE_UNAVAILABLE,
    };
    // Behind a reverse proxy everybody comes from a trusted network: with a token, only the token is trust.
    let details = caller.check().is_ok();
    (code, Json(HealthJson::new(&report, details))).into_response()
}

/// `GET /ready`: whether a new message could be delivered now.
#[utoipa::path(
    get, path = "/ready", operation_id = "showReadiness", tag = "state", summary = "Whether a new message could be delivered now",
    security(()),
    responses(
        (status = 200, body = ReadyJson),
        (status = 503, body = ReadyJson),
    ),
)]
pub(super) async fn ready(Shared(context): Shared<Arc<Context>>) -> Response {
    // Not a question to the store: the balancer that asks wants to know about the way out.
    let ready = context.side.delivery.ready();
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(ReadyJson { ready })).into_response()
}

#[derive(Serialize, ToSchema)]
struct ReadyJson {
    ready: bool,
}

#[derive(Serialize, ToSchema)]
struct HealthJson<'a> {
    status: Status,
    #[serde(flatten)]
    details: Option<DetailsJson<'a>>,
}

#[derive(Serialize, ToSchema)]
struct DetailsJson<'a> {
    version: &'static str,
    uptime_seconds: u64,
    smtp: SmtpJson<'a>,
    /// `null` when the store could not be asked.
    queue: Option<QueueJson>,
    /// By name, in the order of preference.
    #[schema(value_type = HashMap<String, ProviderJson>)]
    providers: ProvidersJson<'a>,
}

#[derive(Serialize, ToSchema)]
struct SmtpJson<'a> {
    #[schema(value_type = Vec<String>)]
    listening: &'a [SocketAddr],
    connections: usize,
}

/// How full the queue is.
#[derive(Serialize, ToSchema)]
pub(super) struct QueueJson {
    backend: &'static str,
    queued: u64,
    sending: u64,
    failed: u64,
    oldest_seconds: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ProviderHealthJson)]
struct ProviderJson<'a> {
    #[schema(value_type = ProviderStateJson)]
    state: &'static str,
    last_success: Option<Time>,
    last_error: Option<&'a str>,
    last_error_at: Option<Time>,
}

impl QueueJson {
    pub(super) fn new(counts: Counts, backend: &'static str, oldest_seconds: u64) -> Self {
        let Counts { queued, sending, failed, oldest: _ } = counts;
        Self { backend, queued, sending, failed, oldest_seconds }
    }
}

impl<'a> HealthJson<'a> {
    fn new(report: &'a Report, details: bool) -> Self {
        let queue = report
            .counts
            .map(|counts| QueueJson::new(counts, report.backend, report.oldest_seconds));
        let details = details.then(|| DetailsJson {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: report.uptime_seconds,
            smtp: SmtpJson { listening: &report.listening, connections: report.connections },
            queue,
            providers: ProvidersJson(&report.providers),
        });
        Self { status: report.status, details }
    }
}

/// What a provider does with mail.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only the document is made from it")]
enum ProviderStateJson {
    Up,
    Throttled,
    Exhausted,
    Misconfigured,
    Down,
}

/// An object in the order of preference. Brought accounts stand behind the configured providers, the worst first.
pub(super) struct ProvidersJson<'a>(pub(super) &'a [ProviderStatus]);

impl Serialize for ProvidersJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|provider| {
            let error = provider.last_error.as_ref();
            let json = ProviderJson {
                state: provider.state.name(),
                last_success: provider.last_success.map(Time),
                last_error: error.map(|(_, text)| text.as_str()),
                last_error_at: error.map(|(at, _)| Time(*at)),
            };
            (&provider.name, json)
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::http::tests::sample;

    fn listening() -> Vec<SocketAddr> {
        vec!["127.0.0.1:1025".parse().unwrap()]
    }

    fn counts(queued: u64, sending: u64) -> Option<Counts> {
        Some(Counts { queued, sending, ..Counts::default() })
    }

    #[test]
    fn down_means_that_mail_cannot_be_taken() {
        let up = [sample::provider("resend", ProviderState::Up)];
        assert_eq!(judge(&listening(), counts(0, 0), 10, &up, true), Status::Ok);
        assert_eq!(judge(&[], counts(0, 0), 10, &up, true), Status::Down);
        assert_eq!(judge(&listening(), None, 10, &up, true), Status::Down);
    }

    #[test]
    fn a_provider_in_trouble_degrades_and_does_not_bring_down() {
        for state in [
            ProviderState::Throttled,
            ProviderState::Exhausted,
            ProviderState::Misconfigured,
            ProviderState::Down,
        ] {
            let providers =
                [sample::provider("resend", ProviderState::Up), sample::provider("ses", state)];
            let status = judge(&listening(), counts(0, 0), 10, &providers, true);
            assert_eq!(status, Status::Degraded, "{state:?}");
        }
        assert_eq!(judge(&listening(), counts(0, 0), 10, &[], true), Status::Degraded);
        let accounts_come = judge(&listening(), counts(0, 0), 10, &[], false);
        assert_eq!(accounts_come, Status::Ok, "clients bring their accounts");
    }

    #[test]
    fn a_queue_near_its_limit_degrades() {
        let up = [sample::provider("resend", ProviderState::Up)];
        assert_eq!(judge(&listening(), counts(89, 0), 100, &up, true), Status::Ok);
        assert_eq!(judge(&listening(), counts(80, 10), 100, &up, true), Status::Degraded);
        assert_eq!(judge(&listening(), counts(100, 0), 100, &up, true), Status::Degraded);
    }

    #[test]
    fn strangers_learn_one_word_and_trusted_callers_everything() {
        let mut resend = sample::provider("resend", ProviderState::Misconfigured);
        resend.last_error = Some((sample::now(), "401: API key is invalid".to_owned()));
        let ses = sample::provider("ses", ProviderState::Up);
        let report = Report {
            status: Status::Degraded,
            listening: listening(),
            connections: 2,
            backend: "sqlite",
            counts: Some(Counts { queued: 3, sending: 1, failed: 4, oldest: None }),
            oldest_seconds: 60,
            uptime_seconds: 7,
            providers: vec![resend, ses],
            needs_providers: true,
        };
        let stranger = serde_json::to_value(HealthJson::new(&report, false)).unwrap();
        assert_eq!(stranger, json!({ "status": "degraded" }));
        let text = serde_json::to_string(&HealthJson::new(&report, true)).unwrap();
        assert!(text.find("\"resend\"") < text.find("\"ses\""), "the order of preference");
        let trusted: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            trusted,
            json!({
                "status": "degraded",
                "version": env!("CARGO_PKG_VERSION"),
                "uptime_seconds": 7,
                "smtp": { "listening": ["127.0.0.1:1025"], "connections": 2 },
                "queue": {
                    "backend": "sqlite", "queued": 3, "sending": 1, "failed": 4, "oldest_seconds": 60,
                },
                "providers": {
                    "resend": {
                        "state": "misconfigured",
                        "last_success": null,
                        "last_error": "401: API key is invalid",
                        "last_error_at": "2026-11-21T10:00:00.000Z",
                    },
                    "ses": {
                        "state": "up",
                        "last_success": null,
                        "last_error": null,
                        "last_error_at": null,
                    },
                },
            })
        );
    }

    #[test]
    fn a_clock_set_back_gives_no_negative_age() {
        let now = sample::now();
        assert_eq!(seconds_since(now + Duration::from_secs(5), now), 0);
        assert_eq!(seconds_since(now - Duration::from_secs(5), now), 5);
    }
}
