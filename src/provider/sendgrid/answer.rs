//! What SendGrid's answers mean.
//! <https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/responses>

use serde_json::Value;

use crate::clock::Timestamp;
use crate::provider::api::clear_refusal;
use crate::provider::exchange::Answer;
use crate::provider::heard::small_figure;
use crate::provider::refusal::{
    by_status, epoch_header, json, no_receipt, other_words, refusal, retry_after,
};
use crate::provider::{Heard, Receipt, SendError, Verdict};

/// Reads the answer to `POST /v3/mail/send`.
///
/// The sign of success is `X-Message-Id`, or a 202 with an empty body where a proxy has removed it: the mail was taken,
/// and a repeat would be a second copy. Any other success is not SendGrid's and counts as misconfigured, so that the
/// mail waits.
pub(super) fn read(answer: &Answer, now: Timestamp) -> Result<Receipt, SendError> {
    if !(200..300).contains(&answer.status) {
        return Err(refused(answer, now));
    }
    let id = answer.headers.get("x-message-id").and_then(|id| id.to_str().ok());
    if let Some(id) = id.filter(|id| !id.is_empty()) {
        return Ok(Receipt::named(id));
    }
    if answer.status == 202 && answer.body.trim_ascii().is_empty() {
        return Ok(Receipt::default());
    }
    Err(no_receipt(answer, "SendGrid"))
}

/// What the header says of the limits. The length of the window is nowhere told, so that the number of calls in it says
/// nothing. <https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/rate-limits>
pub(super) fn limits(answer: &Answer, now: Timestamp) -> Option<Heard> {
    Heard {
        remaining: small_figure(&answer.headers, "x-ratelimit-remaining"),
        reset: epoch_header(&answer.headers, "x-ratelimit-reset", now),
        ..Heard::default()
    }
    .or_none()
}

/// Reads the answer to `GET /v3/scopes`: the refusal, if it is a clear one. A key without `mail.send` cannot send. 403
/// may only mean that the key must not see its scopes.
pub(super) fn read_scopes(answer: &Answer, now: Timestamp) -> Option<SendError> {
    let body = json(answer)?;
    if answer.status == 200 {
        let scopes = body.get("scopes")?.as_array()?;
        let may_send = scopes.iter().any(|scope| scope == "mail.send");
        return (!may_send).then(|| {
            refusal(answer, Verdict::Misconfigured, "the key does not have the scope mail.send")
        });
    }
    clear_refusal(answer, read(answer, now)).filter(|_| answer.status == 401)
}

/// Whether the answer to `GET /v3/scopes` is to a key that SendGrid knows: one that it does not know gets 401.
pub(super) fn is_of_a_known_key(answer: &Answer) -> bool {
    let says =
        |key: &str| json(answer).is_some_and(|body| body.get(key).is_some_and(Value::is_array));
    match answer.status {
        200 => says("scopes"),
        403 => says("errors"),
        _ => false,
    }
}

fn refused(answer: &Answer, now: Timestamp) -> SendError {
    let body = json(answer);
    let errors = body.as_ref().and_then(|body| body.get("errors")?.as_array());
    let errors = errors.map(Vec::as_slice).unwrap_or_default();
    let words = errors.iter().map(words_of).collect::<Vec<_>>().join("; ");
    let verdict =
        verdict(answer, &words.to_ascii_lowercase(), errors.iter().any(names_a_field), now);
    if errors.is_empty() {
        return refusal(answer, verdict, &other_words(answer));
    }
    refusal(answer, verdict, &words)
}

fn verdict(answer: &Answer, words: &str, names_a_field: bool, now: Timestamp) -> Verdict {
    let wait = || {
        retry_after(&answer.headers, now)
            .or_else(|| epoch_header(&answer.headers, "x-ratelimit-reset", now))
    };
    // Known with 401, which otherwise means the key.
    let used_up = words.contains("maximum credits exceeded");
    let about_the_account = words.contains("verified sender identity")
        || words.contains("authorization grant")
        || words.contains("access forbidden");
    match answer.status {
        400..500 if used_up => Verdict::Exhausted { until: None },
        400..500 if about_the_account => Verdict::Misconfigured,
        // A fault of the message names its field. The rest of this status is not documented.
        400 if names_a_field => Verdict::Rejected,
        400 if !answer.whole => Verdict::Temporary { retry_after: None },
        ..400 | 400.. => by_status(answer, wait()),
    }
}

/// `message (field)`.
fn words_of(error: &Value) -> String {
    let text = |name| error.get(name).and_then(Value::as_str).unwrap_or_default();
    match (text("message"), text("field")) {
        (message, "" | "null") => message.to_owned(),
        (message, field) => format!("{message} ({field})"),
    }
}

/// The published examples write an absent field as the text `null`.
fn names_a_field(error: &Value) -> bool {
    error
        .get("field")
        .and_then(Value::as_str)
        .is_some_and(|field| !field.is_empty() && field != "null")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderValue;

    use super::*;
    use crate::provider::samples::answer;

    const NOW: &str = "2026-11-21T10:30:00Z";

    fn error(status: u16, message: &str, field: Option<&str>) -> Answer {
        let errors = serde_json::json!([{"message": message, "field": field, "help": null}]);
        answer(status, serde_json::json!({"errors": errors}).to_string())
    }

    fn meaning(answer: &Answer) -> Result<Receipt, SendError> {
        read(answer, NOW.parse().unwrap())
    }

    #[test]
    fn the_header_is_the_receipt() {
        let mut taken = answer(202, "");
        taken.headers.insert("x-message-id", HeaderValue::from_static("abc.filter"));
        let id = meaning(&taken).unwrap().provider_message_id;
        assert_eq!(id.as_deref(), Some("abc.filter"));
        // The body does not matter, not even if it was lost.
        taken.whole = false;
        assert!(meaning(&taken).is_ok());
    }

    #[test]
    fn the_limits_are_in_the_header() {
        let mut taken = answer(202, "");
        assert_eq!(limits(&taken, NOW.parse().unwrap()), None);
        taken.headers.insert("x-ratelimit-remaining", HeaderValue::from_static("0"));
        // 2026-11-21T10:30:09Z
        taken.headers.insert("x-ratelimit-reset", HeaderValue::from_static("1795257009"));
        let heard = limits(&taken, NOW.parse().unwrap()).unwrap();
        assert_eq!((heard.remaining, heard.reset), (Some(0), Some(Duration::from_secs(9))));
    }

    #[test]
    fn an_empty_202_was_taken() {
        assert_eq!(meaning(&answer(202, "")).unwrap().provider_message_id, None);
    }

    #[test]
    fn another_success_is_not_from_sendgrid() {
        for other in [answer(200, ""), answer(202, "<html>"), answer(200, "{}"), answer(204, "")] {
            assert_eq!(meaning(&other).unwrap_err().verdict, Verdict::Misconfigured);
        }
    }

    #[test]
    fn every_refusal_of_the_table_has_its_meaning() {
        let later = Verdict::Temporary { retry_after: None };
        for (status, message, field, verdict) in [
            (400, "Does not contain a valid address.", Some("from.email"), Verdict::Rejected),
            (400, "Bad Request", None, Verdict::Unknown),
            (400, "invalid request", Some("null"), Verdict::Unknown),
            (401, "Maximum credits exceeded", None, Verdict::Exhausted { until: None }),
            (
                401,
                "The provided authorization grant is invalid, expired, or revoked",
                None,
                Verdict::Misconfigured,
            ),
            (401, "authorization required", Some("null"), Verdict::Misconfigured),
            (
                403,
                "The from address does not match a verified Sender Identity.",
                Some("from"),
                Verdict::Misconfigured,
            ),
            (403, "access forbidden", None, Verdict::Misconfigured),
            (404, "not found", None, Verdict::Misconfigured),
            (405, "method not allowed", None, Verdict::Misconfigured),
            (408, "", None, later),
            (409, "", None, Verdict::Bug),
            (413, "content too large", None, Verdict::Rejected),
            (415, "", None, Verdict::Bug),
            (422, "", None, Verdict::Unknown),
            (425, "", None, later),
            (429, "too many requests", None, Verdict::Throttled { retry_after: None }),
            (500, "internal server error", None, later),
            (503, "", None, later),
            (307, "", None, Verdict::Misconfigured),
        ] {
            let refused = meaning(&error(status, message, field)).unwrap_err();
            assert_eq!(refused.verdict, verdict, "{status} {message}");
        }
    }

    #[test]
    fn the_wait_comes_from_the_rate_header() {
        let mut limited = error(429, "too many requests", None);
        let then: Timestamp = "2026-11-21T10:30:07Z".parse().unwrap();
        let then = HeaderValue::from_str(&then.as_second().to_string()).unwrap();
        limited.headers.insert("x-ratelimit-reset", then);
        let expected = Verdict::Throttled { retry_after: Some(Duration::from_secs(7)) };
        assert_eq!(meaning(&limited).unwrap_err().verdict, expected);
    }

    #[test]
    fn the_words_name_the_field() {
        let refused = meaning(&error(400, "Bad address.", Some("from.email"))).unwrap_err();
        assert_eq!(refused.reason, "Bad address. (from.email)");
    }

    #[test]
    fn only_a_clear_refusal_says_that_the_key_is_dead() {
        let now = NOW.parse().unwrap();
        for dead in [
            error(401, "authorization required", None),
            answer(200, r#"{"scopes":["alerts.read"]}"#),
        ] {
            assert_eq!(read_scopes(&dead, now).unwrap().verdict, Verdict::Misconfigured);
        }
        for alive in [
            answer(200, r#"{"scopes":["mail.send","alerts.read"]}"#),
            answer(200, "{}"),
            answer(200, "<html>"),
            error(401, "Maximum credits exceeded", None),
            error(403, "access forbidden", None),
            error(404, "not found", None),
            error(500, "", None),
            answer(403, "<html>"),
            answer(302, ""),
        ] {
            assert_eq!(read_scopes(&alive, now), None, "{alive:?}");
        }
    }
}
