//! What Resend's answers mean. <https://resend.com/docs/api-reference/errors>
//!
//! Status and name do not separate the cases; the text does. A bad key, a missing domain and a bad address all come
//! as `validation_error`.

use std::time::Duration;

use serde_json::Value;

use crate::clock::Timestamp;
use crate::provider::api::{Joined, clear_refusal};
use crate::provider::batch;
use crate::provider::exchange::Answer;
use crate::provider::heard::{figure, small_figure};
use crate::provider::refusal::{
    by_status, by_status_or_later, json, no_receipt, refusal, retry_after, seconds_header, words,
};
use crate::provider::{Heard, Rate, Receipt, SendError, Verdict};

/// Reads the answer to `POST /emails`.
///
/// A success without an id is not Resend's: a login page of the network or a wrong `base_url`. It counts as
/// misconfigured, so that the mail waits; a repeat is safe, because the key is recognised.
pub(super) fn read(answer: &Answer, now: Timestamp) -> Result<Receipt, SendError> {
    if !(200..300).contains(&answer.status) {
        return Err(refused(answer, now));
    }
    let body = json(answer);
    let id = body.as_ref().and_then(|body| body.get("id")?.as_str());
    if let Some(id) = id.filter(|id| !id.is_empty()) {
        return Ok(Receipt::named(id));
    }
    Err(no_receipt(answer, "Resend"))
}

/// Reads the answer to `POST /emails/batch`: the ids in the order of the messages. Either all of them are taken or none.
pub(super) fn read_batch(answer: &Answer, members: usize, now: Timestamp) -> Joined {
    if !(200..300).contains(&answer.status) {
        return Err(refused(answer, now));
    }
    let mut body = json(answer);
    let list = body.as_mut().and_then(|body| body.get_mut("data")).map(Value::take);
    let Some(Value::Array(items)) = list.filter(|list| list.get(0).is_some()) else {
        return Err(batch::no_list(answer, "Resend"));
    };
    batch::outcomes(answer, &items, members, |item| {
        let id = item.get("id")?.as_str().filter(|id| !id.is_empty())?;
        Some(Ok(Receipt::named(id)))
    })
}

/// What a refusal means when the key was the app's own (`Resend-Idempotency-Key`).
///
/// Our own keys name the body, so a key that has been used with another body is a fault of ours. One that the app made
/// is the app's word that this mail has been handed in before, within 24 hours: another message took the key, or this
/// one in another form, before the configuration was changed. Either way a mail with this key has left. To send this one
/// under another key, or by another provider, would be the second copy that the app wanted to rule out, and to count it
/// as delivered would hide a mail that never left. So it is refused, as by Resend's SMTP server, and the record says why.
pub(super) fn of_the_apps_key(answer: &Answer, error: SendError) -> SendError {
    let body = json(answer);
    let name = body.as_ref().and_then(|body| body.get("name")?.as_str());
    match name {
        Some("invalid_idempotent_request") => SendError {
            verdict: Verdict::Rejected,
            reason: format!(
                "the app's Resend-Idempotency-Key has been used within 24 hours, with another content: {}",
                error.reason
            ),
            ..error
        },
        Some("invalid_idempotency_key") => SendError { verdict: Verdict::Rejected, ..error },
        Some(_) | None => error,
    }
}

/// What the header says of the limits: calls in a window of one second, and the recipients of this day (on the free plan)
/// and month. <https://resend.com/docs/api-reference/rate-limit>
pub(super) fn limits(answer: &Answer) -> Option<Heard> {
    let headers = &answer.headers;
    let limit = small_figure(headers, "ratelimit-limit").filter(|calls| *calls > 0);
    Heard {
        limit: limit.map(|calls| Rate { calls, per: Duration::from_secs(1) }),
        remaining: small_figure(headers, "ratelimit-remaining"),
        reset: seconds_header(headers, "ratelimit-reset"),
        used_today: figure(headers, "x-resend-daily-quota"),
        used_this_month: figure(headers, "x-resend-monthly-quota"),
    }
    .or_none()
}

/// Reads the answer to `GET /domains`: the refusal, if it is a clear one.
pub(super) fn read_domains(answer: &Answer, now: Timestamp) -> Option<SendError> {
    let body = json(answer)?;
    let name = body.get("name")?.as_str()?;
    if lacks_permission(name) {
        return None;
    }
    clear_refusal(answer, read(answer, now))
}

/// Whether the answer to `GET /domains` is to a key that Resend knows.
pub(super) fn is_of_a_known_key(answer: &Answer) -> bool {
    let Some(body) = json(answer) else { return false };
    match body.get("name").and_then(Value::as_str) {
        Some(name) => lacks_permission(name),
        None => answer.status == 200,
    }
}

/// A key that may only send is refused the question for want of permission, which proves that it is alive.
fn lacks_permission(name: &str) -> bool {
    matches!(name, "restricted_api_key" | "invalid_permission")
}

fn refused(answer: &Answer, now: Timestamp) -> SendError {
    let body = json(answer);
    let field = |name| body.as_ref().and_then(|body| body.get(name)?.as_str()).unwrap_or_default();
    let (name, message) = (field("name"), field("message"));
    let words = words(answer, name, message);
    let verdict = if answer.whole || !name.is_empty() {
        verdict(answer, name, message, now)
    } else {
        by_status_or_later(answer, now)
    };
    refusal(answer, verdict, &words)
}

fn verdict(answer: &Answer, name: &str, message: &str, now: Timestamp) -> Verdict {
    let wait = || {
        retry_after(&answer.headers, now)
            .or_else(|| seconds_header(&answer.headers, "ratelimit-reset"))
    };
    let message = message.to_ascii_lowercase();
    let about_the_account = message.contains("api key is invalid")
        || message.contains("testing emails")
        || (message.contains("domain") && message.contains("not verified"));

    match (answer.status, name) {
        (400 | 401 | 403 | 422, "validation_error") if about_the_account => Verdict::Misconfigured,
        (400 | 422, "validation_error") => Verdict::Rejected,
        (400, "invalid_idempotency_key") => Verdict::Bug,
        // Cloudflare's code for a request without User-Agent.
        (403, _) if String::from_utf8_lossy(&answer.body).contains("1010") && name.is_empty() => {
            Verdict::Bug
        }
        (409, "concurrent_idempotent_requests" | "resource_locked") => {
            Verdict::Temporary { retry_after: wait() }
        }
        (
            400 | 422,
            "invalid_attachment"
            | "invalid_from_address"
            | "invalid_parameter"
            | "missing_required_field"
            | "missing_required_parameter",
        ) => Verdict::Rejected,
        (429, "daily_quota_exceeded") => Verdict::Exhausted { until: next_midnight(now) },
        (429, "monthly_quota_exceeded") => Verdict::Exhausted { until: None },
        (_, _) => by_status(answer, wait()),
    }
}

/// The daily quota renews at 00:00 UTC.
fn next_midnight(now: Timestamp) -> Option<Timestamp> {
    const DAY: i64 = 24 * 60 * 60;
    Timestamp::from_second((now.as_second().div_euclid(DAY) + 1) * DAY).ok()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use serde_json::json;

    use super::*;
    use crate::provider::samples::answer;

    const NOW: &str = "2026-11-21T10:30:00Z";

    fn error(status: u16, name: &str, message: &str) -> Answer {
        let body = json!({"statusCode": status, "name": name, "message": message});
        answer(status, body.to_string())
    }

    fn meaning(answer: &Answer) -> Result<Receipt, SendError> {
        read(answer, NOW.parse().unwrap())
    }

    #[test]
    fn the_id_is_the_receipt() {
        let receipt = meaning(&answer(200, r#"{"id":"49a3999c"}"#)).unwrap();
        assert_eq!(receipt.provider_message_id.as_deref(), Some("49a3999c"));
    }

    #[test]
    fn a_success_without_an_id_is_not_from_resend() {
        for body in ["<html>log in</html>", "{}", r#"{"id":""}"#, "", "ok", "[]"] {
            let error = meaning(&answer(200, body)).unwrap_err();
            assert_eq!((error.verdict, error.unclear), (Verdict::Misconfigured, false), "{body}");
        }
    }

    #[test]
    fn a_success_whose_body_was_lost_is_repeated_with_the_same_key() {
        let lost = Answer { whole: false, ..answer(200, r#"{"id":"49"#) };
        let error = meaning(&lost).unwrap_err();
        assert_eq!(error.verdict, Verdict::Temporary { retry_after: None });
        assert!(error.unclear);
    }

    #[test]
    fn every_refusal_of_the_table_has_its_meaning() {
        let later = Verdict::Temporary { retry_after: None };
        let midnight = Some("2026-11-22T00:00:00Z".parse().unwrap());
        for (status, name, message, verdict) in [
            (400, "validation_error", "API key is invalid", Verdict::Misconfigured),
            (401, "validation_error", "API key is invalid", Verdict::Misconfigured),
            (400, "validation_error", "Invalid `to` field.", Verdict::Rejected),
            (422, "validation_error", "Invalid `to` field.", Verdict::Rejected),
            (400, "invalid_idempotency_key", "1-256", Verdict::Bug),
            (401, "missing_api_key", "Missing API key", Verdict::Misconfigured),
            (401, "restricted_api_key", "only send", Verdict::Misconfigured),
            (403, "suspended_api_key", "suspended", Verdict::Misconfigured),
            (403, "invalid_permission", "no", Verdict::Misconfigured),
            (
                403,
                "validation_error",
                "You can only send testing emails to your own email address",
                Verdict::Misconfigured,
            ),
            (
                403,
                "validation_error",
                "The oratio.space domain is not verified.",
                Verdict::Misconfigured,
            ),
            (403, "something_new", "no", Verdict::Misconfigured),
            (404, "not_found", "no", Verdict::Misconfigured),
            (405, "method_not_allowed", "no", Verdict::Misconfigured),
            (408, "", "", later),
            (409, "concurrent_idempotent_requests", "", later),
            (409, "resource_locked", "", later),
            (409, "invalid_idempotent_request", "", Verdict::Bug),
            (409, "something_new", "", Verdict::Bug),
            (413, "", "", Verdict::Rejected),
            (415, "", "", Verdict::Bug),
            (422, "invalid_attachment", "", Verdict::Rejected),
            (422, "invalid_parameter", "", Verdict::Rejected),
            (422, "missing_required_field", "", Verdict::Rejected),
            (422, "missing_required_parameter", "", Verdict::Rejected),
            (422, "something_new", "", Verdict::Unknown),
            (400, "something_new", "", Verdict::Unknown),
            (418, "", "", Verdict::Unknown),
            (425, "", "", later),
            (429, "rate_limit_exceeded", "", Verdict::Throttled { retry_after: None }),
            (429, "something_new", "", Verdict::Throttled { retry_after: None }),
            (429, "daily_quota_exceeded", "", Verdict::Exhausted { until: midnight }),
            (429, "monthly_quota_exceeded", "", Verdict::Exhausted { until: None }),
            (500, "application_error", "", later),
            (503, "service_unavailable", "", later),
            (302, "", "", Verdict::Misconfigured),
        ] {
            let refused = meaning(&error(status, name, message)).unwrap_err();
            assert_eq!(refused.verdict, verdict, "{status} {name} {message}");
            assert_eq!(refused.status, Some(status));
        }
    }

    #[test]
    fn a_key_of_the_app_that_is_taken_refuses_the_message() {
        let now = NOW.parse().unwrap();
        let judged = |answer: &Answer| of_the_apps_key(answer, read(answer, now).unwrap_err());
        let taken = judged(&error(409, "invalid_idempotent_request", "other payload"));
        assert_eq!((taken.verdict, taken.status), (Verdict::Rejected, Some(409)));
        assert!(taken.reason.contains("Resend-Idempotency-Key"), "{taken}");
        assert!(taken.reason.contains("other payload"), "{taken}");
        let bad = judged(&error(400, "invalid_idempotency_key", "1-256"));
        assert_eq!(bad.verdict, Verdict::Rejected);
        let busy = judged(&error(409, "concurrent_idempotent_requests", ""));
        assert_eq!(busy.verdict, Verdict::Temporary { retry_after: None });
        assert_eq!(judged(&answer(409, "")).verdict, Verdict::Bug);
    }

    #[test]
    fn a_request_without_user_agent_is_our_fault() {
        let refused = meaning(&answer(403, "error code: 1010")).unwrap_err();
        assert_eq!(refused.verdict, Verdict::Bug);
    }

    #[test]
    fn the_limits_are_in_the_header() {
        let mut taken = answer(200, r#"{"id":"1"}"#);
        assert_eq!(limits(&taken), None);
        for (name, value) in [
            ("ratelimit-limit", "10"),
            ("ratelimit-remaining", "0"),
            ("ratelimit-reset", "1"),
            ("x-resend-daily-quota", "97"),
            ("x-resend-monthly-quota", "2100"),
        ] {
            taken.headers.insert(name, HeaderValue::from_static(value));
        }
        let second = Duration::from_secs(1);
        let expected = Heard {
            limit: Some(Rate { calls: 10, per: second }),
            remaining: Some(0),
            reset: Some(second),
            used_today: Some(97),
            used_this_month: Some(2_100),
        };
        assert_eq!(limits(&taken), Some(expected));
        taken.headers.insert("ratelimit-limit", HeaderValue::from_static("0"));
        assert_eq!(limits(&taken).and_then(|heard| heard.limit), None, "no rate at all");
    }

    #[test]
    fn the_wait_comes_from_retry_after_or_the_rate_headers() {
        for header in ["retry-after", "ratelimit-reset"] {
            let mut limited = error(429, "rate_limit_exceeded", "Too many requests");
            limited.headers.insert(HeaderName::from_static(header), HeaderValue::from_static("2"));
            let expected = Verdict::Throttled { retry_after: Some(Duration::from_secs(2)) };
            assert_eq!(meaning(&limited).unwrap_err().verdict, expected);
        }
    }

    #[test]
    fn the_words_are_resends_own() {
        let refused = meaning(&error(422, "invalid_attachment", "Bad\nfile")).unwrap_err();
        assert_eq!(refused.to_string(), "422: invalid_attachment: Bad file");
    }

    #[test]
    fn a_refusal_whose_reason_was_lost_is_asked_for_again() {
        let lost = Answer { whole: false, ..answer(422, r#"{"name":"inva"#) };
        let refused = meaning(&lost).unwrap_err();
        assert_eq!(refused.verdict, Verdict::Temporary { retry_after: None });
        assert!(!refused.unclear);
    }

    #[test]
    fn only_a_clear_refusal_says_that_the_key_is_dead() {
        let now = NOW.parse().unwrap();
        for dead in [
            error(401, "missing_api_key", "x"),
            error(400, "validation_error", "API key is invalid"),
            error(403, "suspended_api_key", "x"),
        ] {
            assert_eq!(read_domains(&dead, now).unwrap().verdict, Verdict::Misconfigured);
        }
        for alive in [
            answer(200, r#"{"data":[]}"#),
            error(401, "restricted_api_key", "This API key is restricted to only send emails"),
            error(403, "invalid_permission", ""),
            error(404, "not_found", ""),
            error(429, "rate_limit_exceeded", ""),
            error(500, "application_error", ""),
            answer(403, "<html>blocked</html>"),
            answer(200, "<html></html>"),
            answer(302, ""),
        ] {
            assert_eq!(read_domains(&alive, now), None, "{alive:?}");
        }
    }
}
