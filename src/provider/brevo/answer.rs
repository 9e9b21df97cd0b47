//! What Brevo's answers mean. <https://developers.brevo.com/docs/how-it-works>

use serde_json::Value;

use crate::clock::Timestamp;
use crate::provider::api::clear_refusal;
use crate::provider::exchange::Answer;
use crate::provider::heard::small_figure;
use crate::provider::refusal::{
    by_status, by_status_or_later, json, no_receipt, refusal, retry_after, seconds_header, words,
};
use crate::provider::{Heard, Receipt, SendError, Verdict};

/// Reads the answer to `POST /v3/smtp/email`.
///
/// A repeat of a request that was taken is refused as a duplicate, which is a success whose id is unknown.
pub(super) fn read(answer: &Answer, now: Timestamp) -> Result<Receipt, SendError> {
    let body = json(answer);
    let text = |name| body.as_ref().and_then(|body| body.get(name)?.as_str()).unwrap_or_default();
    let (code, message) = (text("code"), text("message"));
    if !(200..300).contains(&answer.status) {
        if answer.status < 500 && code == "duplicate_parameter" {
            return Ok(Receipt::default());
        }
        return Err(refused(answer, code, message, now));
    }
    let first = || body.as_ref()?.get("messageIds")?.get(0)?.as_str();
    match Some(text("messageId")).filter(|id| !id.is_empty()).or_else(first) {
        Some(id) => Ok(Receipt::named(id)),
        None => Err(no_receipt(answer, "Brevo")),
    }
}

/// What the header says of the limits. They hold for the endpoint that was asked and are told for its smallest window,
/// whose length is nowhere told. <https://developers.brevo.com/docs/api-limits>
pub(super) fn limits(answer: &Answer) -> Option<Heard> {
    Heard {
        remaining: small_figure(&answer.headers, "x-sib-ratelimit-remaining"),
        reset: seconds_header(&answer.headers, "x-sib-ratelimit-reset"),
        ..Heard::default()
    }
    .or_none()
}

/// Reads the answer to `GET /v3/account`: the refusal, if it is a clear one.
pub(super) fn read_account(answer: &Answer, now: Timestamp) -> Option<SendError> {
    let body = json(answer)?;
    body.get("code")?.as_str()?;
    clear_refusal(answer, read(answer, now))
}

/// Whether the answer to `GET /v3/account` is to a key that Brevo knows.
pub(super) fn is_of_a_known_key(answer: &Answer) -> bool {
    let email = |body: Value| body.get("email")?.as_str().map(str::len);
    answer.status == 200 && json(answer).and_then(email).is_some()
}

fn refused(answer: &Answer, code: &str, message: &str, now: Timestamp) -> SendError {
    let verdict = if answer.whole || !code.is_empty() {
        verdict(answer, code, message, now)
    } else {
        by_status_or_later(answer, now)
    };
    refusal(answer, verdict, &words(answer, code, message))
}

fn verdict(answer: &Answer, code: &str, message: &str, now: Timestamp) -> Verdict {
    // There is no Retry-After in the documentation.
    let wait = || {
        retry_after(&answer.headers, now)
            .or_else(|| seconds_header(&answer.headers, "x-sib-ratelimit-reset"))
    };
    match (answer.status, code) {
        (429, _) => Verdict::Throttled { retry_after: wait() },
        (500.., _) => by_status(answer, wait()),
        (_, "not_enough_credits") | (402, _) => Verdict::Exhausted { until: None },
        (_, "unauthorized" | "permission_denied" | "account_under_validation") => {
            Verdict::Misconfigured
        }
        (400.., "invalid_parameter" | "bad_request" | "unprocessable_entity")
            if is_about_the_sender(message) =>
        {
            Verdict::Misconfigured
        }
        (
            400..,
            "invalid_parameter"
            | "missing_parameter"
            | "out_of_range"
            | "bad_request"
            | "unprocessable_entity"
            | "not_acceptable",
        ) => Verdict::Rejected,
        // The first try is still at work, by the name; a later one will tell.
        (400.., "duplicate_request") => Verdict::Temporary { retry_after: wait() },
        (400.., "method_not_allowed" | "document_not_found") => Verdict::Bug,
        (_, _) => by_status(answer, wait()),
    }
}

/// The sender has to be verified; no message is at fault. An address that is none is.
fn is_about_the_sender(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    let unverified = ["not valid", "not verified", "unverified", "inactive", "authenticate"];
    message.contains("sender") && unverified.iter().any(|word| message.contains(word))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderValue;
    use serde_json::json;

    use super::*;
    use crate::provider::samples::answer;

    const NOW: &str = "2026-11-21T10:30:00Z";

    fn error(status: u16, code: &str, message: &str) -> Answer {
        answer(status, json!({"code": code, "message": message}).to_string())
    }

    fn meaning(answer: &Answer) -> Result<Receipt, SendError> {
        read(answer, NOW.parse().unwrap())
    }

    #[test]
    fn the_id_is_the_receipt() {
        for (status, body) in [
            (201, r#"{"messageId":"<1.2@relay.example>"}"#),
            (202, r#"{"messageId":"<1.2@relay.example>","batchId":"x"}"#),
            (201, r#"{"messageIds":["<1.2@relay.example>","<2>"]}"#),
        ] {
            let receipt = meaning(&answer(status, body)).unwrap();
            assert_eq!(receipt.provider_message_id.as_deref(), Some("<1.2@relay.example>"));
        }
    }

    #[test]
    fn the_limits_are_in_the_header() {
        let mut taken = answer(201, "{}");
        assert_eq!(limits(&taken), None);
        taken.headers.insert("x-sib-ratelimit-remaining", HeaderValue::from_static("999"));
        taken.headers.insert("x-sib-ratelimit-reset", HeaderValue::from_static("1"));
        let heard = limits(&taken).unwrap();
        assert_eq!((heard.remaining, heard.reset), (Some(999), Some(Duration::from_secs(1))));
    }

    #[test]
    fn a_repeat_that_is_refused_is_a_success_without_an_id() {
        let repeat = error(400, "duplicate_parameter", "idempotencyKey was used already");
        assert_eq!(meaning(&repeat), Ok(Receipt::default()));
        assert!(meaning(&error(500, "duplicate_parameter", "")).is_err());
    }

    #[test]
    fn a_success_of_anything_else_is_none() {
        for body in ["<html>log in</html>", "{}", "", "[]", r#"{"messageId":""}"#] {
            let error = meaning(&answer(201, body)).unwrap_err();
            assert_eq!((error.verdict, error.unclear), (Verdict::Misconfigured, false), "{body}");
        }
        let lost = Answer { whole: false, ..answer(201, r#"{"messageId":"<1"#) };
        let error = meaning(&lost).unwrap_err();
        assert_eq!(error.verdict, Verdict::Temporary { retry_after: None });
        assert!(error.unclear);
    }

    #[test]
    fn every_refusal_of_the_table_has_its_meaning() {
        let later = Verdict::Temporary { retry_after: None };
        let exhausted = Verdict::Exhausted { until: None };
        for (status, code, message, verdict) in [
            (400, "invalid_parameter", "email is not valid in to", Verdict::Rejected),
            (400, "invalid_parameter", "valid sender email required", Verdict::Rejected),
            (
                400,
                "invalid_parameter",
                "Sending has been rejected because the sender you used ada@example.org is not valid. \
                 Validate your sender or authenticate your domain",
                Verdict::Misconfigured,
            ),
            (400, "missing_parameter", "subject is missing", Verdict::Rejected),
            (400, "out_of_range", "", Verdict::Rejected),
            (400, "bad_request", "", Verdict::Rejected),
            (422, "unprocessable_entity", "", Verdict::Rejected),
            (406, "not_acceptable", "", Verdict::Rejected),
            (401, "unauthorized", "Key not found", Verdict::Misconfigured),
            (401, "unauthorized", "unrecognised IP address", Verdict::Misconfigured),
            (403, "permission_denied", "SMTP account is not yet activated", Verdict::Misconfigured),
            (403, "account_under_validation", "", Verdict::Misconfigured),
            (402, "not_enough_credits", "", exhausted),
            (400, "not_enough_credits", "", exhausted),
            (402, "something_new", "", exhausted),
            (400, "duplicate_request", "", later),
            (405, "method_not_allowed", "", Verdict::Bug),
            (404, "document_not_found", "", Verdict::Bug),
            (404, "", "", Verdict::Misconfigured),
            (400, "something_new", "", Verdict::Unknown),
            (413, "", "", Verdict::Rejected),
            (415, "", "", Verdict::Bug),
            (429, "too_many_requests", "", Verdict::Throttled { retry_after: None }),
            (500, "invalid_parameter", "", later),
            (503, "", "", later),
            (302, "unheard_of", "", Verdict::Misconfigured),
        ] {
            let refused = meaning(&error(status, code, message)).unwrap_err();
            assert_eq!(refused.verdict, verdict, "{status} {code} {message}");
            assert_eq!(refused.status, Some(status));
        }
    }

    #[test]
    fn the_wait_comes_from_the_rate_headers() {
        let mut limited = error(429, "too_many_requests", "slow down");
        limited.headers.insert("x-sib-ratelimit-reset", HeaderValue::from_static("3"));
        let expected = Verdict::Throttled { retry_after: Some(Duration::from_secs(3)) };
        assert_eq!(meaning(&limited).unwrap_err().verdict, expected);
    }

    #[test]
    fn a_refusal_whose_reason_was_lost_is_asked_for_again() {
        let lost = Answer { whole: false, ..answer(400, r#"{"code":"inva"#) };
        let refused = meaning(&lost).unwrap_err();
        assert_eq!(refused.verdict, Verdict::Temporary { retry_after: None });
        assert!(!refused.unclear);
    }

    #[test]
    fn only_a_clear_refusal_says_that_the_key_is_dead() {
        let now = NOW.parse().unwrap();
        let dead = error(401, "unauthorized", "Key not found");
        assert_eq!(read_account(&dead, now).unwrap().verdict, Verdict::Misconfigured);
        for alive in [
            answer(200, r#"{"email":"ada@example.org","plan":[]}"#),
            answer(401, "<html>log in to this network</html>"),
            error(404, "document_not_found", ""),
            error(429, "too_many_requests", ""),
            error(500, "", ""),
            answer(200, "<html>"),
        ] {
            assert_eq!(read_account(&alive, now), None, "{alive:?}");
        }
    }
}
