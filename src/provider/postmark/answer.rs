//! What Postmark's answers mean. <https://postmarkapp.com/developer/api/overview#error-codes>
//!
//! Nearly every refusal is a 422; the `ErrorCode` in its body says which.

use serde_json::Value;

use crate::clock::Timestamp;
use crate::message::Address;
use crate::provider::api::{Joined, clear_refusal};
use crate::provider::batch;
use crate::provider::exchange::Answer;
use crate::provider::refusal::{
    by_status, by_status_or_later, json, no_receipt, other_words, refusal, retry_after, shorten,
    words,
};
use crate::provider::{LeftOut, Receipt, SendError, Verdict};

/// Reads the answer to `POST /email`.
///
/// The sign of success is `ErrorCode` 0, or a `MessageID` where the code is absent, as it is while Postmark itself is
/// late. Anything else is not Postmark's, so the mail waits.
pub(super) fn read(answer: &Answer, now: Timestamp) -> Result<Receipt, SendError> {
    let body = json(answer);
    let text = |name| body.as_ref().and_then(|body| body.get(name)?.as_str()).unwrap_or_default();
    let (id, message) = (text("MessageID"), text("Message"));
    let code = body.as_ref().and_then(error_code);

    let success = (200..300).contains(&answer.status);
    if !success || code.is_some_and(|code| code != 0) {
        return Err(refused(answer, code, message, now));
    }
    if code.is_none() && id.is_empty() {
        return Err(no_receipt(answer, "Postmark"));
    }
    let receipt = if id.is_empty() { Receipt::default() } else { Receipt::named(id) };
    Ok(Receipt { left_out: left_out(message), ..receipt })
}

/// Reads the answer to `POST /email/batch`: a list with an answer for each message, refused ones among them, in their
/// order.
pub(super) fn read_batch(answer: &Answer, members: usize, now: Timestamp) -> Joined {
    if !(200..300).contains(&answer.status) {
        return read(answer, now).map(|_| Vec::new());
    }
    let items = match json(answer) {
        Some(Value::Array(items)) if !items.is_empty() => items,
        // The refusal of the whole.
        Some(body) if error_code(&body).is_some_and(|code| code != 0) => {
            return read(answer, now).map(|_| Vec::new());
        }
        Some(_) | None => return Err(batch::no_list(answer, "Postmark")),
    };
    batch::outcomes(answer, &items, members, |item| {
        let is_postmarks = error_code(item).is_some() || item.get("MessageID").is_some();
        let body = item.to_string().into();
        let alone = Answer { body, headers: answer.headers.clone(), ..*answer };
        is_postmarks.then(|| read(&alone, now))
    })
}

/// Reads the answer to `GET /server`: the refusal, if it is a clear one. 401 means that the token is not that of a
/// server: mistyped, replaced, or an account's.
pub(super) fn read_server(answer: &Answer, now: Timestamp) -> Option<SendError> {
    error_code(&json(answer)?)?;
    clear_refusal(answer, read(answer, now))
}

/// A number; the official SDKs know it as a text as well.
fn error_code(body: &Value) -> Option<i64> {
    let code = body.get("ErrorCode")?;
    code.as_i64().or_else(|| code.as_str()?.trim().parse().ok())
}

/// The recipients of a message that was taken for the others: those to whom an earlier one bounced, or who complained.
/// They are named in the text only, and in lower case.
fn left_out(message: &str) -> Vec<LeftOut> {
    const BEFORE: &str = "inactive addresses:";
    let Some((_, list)) = message.split_once(BEFORE) else { return Vec::new() };
    let list = list.split("Inactive recipients").next().unwrap_or_default();
    let addresses = list.split([',', ' ', '\n', '\r']).map(|word| word.trim_end_matches('.'));
    addresses
        .filter(|word| word.parse::<Address>().is_ok())
        .map(|address| LeftOut {
            address: address.to_owned(),
            reason: shorten(message),
            later: false,
        })
        .collect()
}

fn refused(answer: &Answer, code: Option<i64>, message: &str, now: Timestamp) -> SendError {
    let Some(code) = code else {
        let verdict = if answer.whole {
            by_status(answer, retry_after(&answer.headers, now))
        } else {
            by_status_or_later(answer, now)
        };
        return refusal(answer, verdict, &other_words(answer));
    };
    let mut words = words(answer, &format!("ErrorCode {code}"), message);
    if code == 10 {
        words.push_str(" (it must be the token of a server, not of the account)");
    }
    refusal(answer, verdict(answer, code, message, now), &words)
}

fn verdict(answer: &Answer, code: i64, message: &str, now: Timestamp) -> Verdict {
    let wait = || retry_after(&answer.headers, now);
    match (answer.status, code) {
        (429, _) | (..500, 429) => Verdict::Throttled { retry_after: wait() },
        (_, 100) => Verdict::Temporary { retry_after: wait() },
        (..500, 10) => Verdict::Misconfigured,
        // Which fields it refuses is not published. Our list lacks one, and the message is not at fault.
        (..500, 300) if message.contains("Header '") && message.contains("not allowed") => {
            Verdict::Bug
        }
        // Invalid; to nobody but inactive recipients; a file of a forbidden type, under its old number and its new one.
        (..500, 300 | 406 | 411 | 701) => Verdict::Rejected,
        // The sender is not known, or not confirmed; the account waits for approval, or may not send.
        (..500, 400 | 401 | 412 | 413) => Verdict::Misconfigured,
        // Not JSON, the wrong members, too many for a batch.
        (..500, 402 | 403 | 409 | 410) => Verdict::Bug,
        // No credits are left.
        (..500, 405) => Verdict::Exhausted { until: None },
        // The stream is unknown, archived, or not for sending. We name none: the message did (X-PM-Message-Stream).
        (..500, 1200..1300) => Verdict::Rejected,
        (200..300, _) => Verdict::Unknown,
        (_, _) => by_status(answer, wait()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderValue;
    use http::header::RETRY_AFTER;
    use serde_json::json;

    use super::*;
    use crate::provider::samples::answer;

    const NOW: &str = "2026-11-21T10:30:00Z";

    fn error(status: u16, code: i64, message: &str) -> Answer {
        answer(status, json!({"ErrorCode": code, "Message": message}).to_string())
    }

    fn taken(message: &str) -> Answer {
        let body = json!({
            "To": "kim@example.net", "SubmittedAt": "2026-11-21T10:30:00.0000000Z",
            "MessageID": "b7bc2f4a-e38e-4336-af7d-e6c392c2f817", "ErrorCode": 0, "Message": message
        });
        answer(200, body.to_string())
    }

    fn meaning(answer: &Answer) -> Result<Receipt, SendError> {
        read(answer, NOW.parse().unwrap())
    }

    #[test]
    fn the_id_is_the_receipt() {
        let receipt = meaning(&taken("OK")).unwrap();
        let id = receipt.provider_message_id.as_deref();
        assert_eq!(id, Some("b7bc2f4a-e38e-4336-af7d-e6c392c2f817"));
        assert_eq!(receipt.left_out, []);
    }

    #[test]
    fn the_code_or_the_id_alone_is_a_success() {
        let coded = meaning(&answer(200, r#"{"ErrorCode":0,"Message":"OK"}"#)).unwrap();
        assert_eq!(coded, Receipt::default());
        let late =
            r#"{"MessageID":"1","Message":"Message accepted, but delivery may be delayed."}"#;
        let late = meaning(&answer(200, late)).unwrap();
        assert_eq!(late.provider_message_id.as_deref(), Some("1"));
    }

    #[test]
    fn recipients_who_get_nothing_are_read_out_of_the_text() {
        let text = "Message OK, but will not deliver to these inactive addresses: a@x.org, b.c@y.org. \
                    Inactive recipients are ones that have generated a hard bounce or a spam complaint.";
        for (text, expected) in [
            (text, vec!["a@x.org", "b.c@y.org"]),
            (
                "Message OK, but will not deliver to these inactive addresses: a@x.org",
                vec!["a@x.org"],
            ),
            ("Message OK, but will not deliver to these inactive addresses: .", vec![]),
            ("OK, inactive", vec![]),
        ] {
            let left_out = meaning(&taken(text)).unwrap().left_out;
            let who: Vec<_> = left_out.iter().map(|it| it.address.as_str()).collect();
            assert_eq!(who, expected);
            assert!(left_out.iter().all(|it| it.reason.contains("inactive addresses")));
        }
    }

    #[test]
    fn a_success_of_anything_else_is_none() {
        for body in ["<html>log in</html>", "{}", "", "ok", "[]", r#"{"MessageID":""}"#] {
            let error = meaning(&answer(200, body)).unwrap_err();
            assert_eq!((error.verdict, error.unclear), (Verdict::Misconfigured, false), "{body}");
        }
        let lost = Answer { whole: false, ..answer(200, r#"{"To":"#) };
        let error = meaning(&lost).unwrap_err();
        assert_eq!(error.verdict, Verdict::Temporary { retry_after: None });
        assert!(error.unclear);
    }

    #[test]
    fn a_batch_has_an_answer_for_each_message_in_its_place() {
        let body = json!([
            {"ErrorCode": 0, "Message": "OK", "MessageID": "1"},
            {"ErrorCode": 406, "Message": "inactive"},
            {"ErrorCode": 0, "Message": "OK, but will not deliver to these inactive addresses: a@x.org", "MessageID": "3"},
            {"ErrorCode": 429, "Message": "slow down"},
        ]);
        let results = read_batch(&answer(200, body.to_string()), 4, NOW.parse().unwrap()).unwrap();
        let id = |place: usize| results[place].as_ref().unwrap().provider_message_id.as_deref();
        assert_eq!((id(0), id(2)), (Some("1"), Some("3")));
        assert_eq!(results[2].as_ref().unwrap().left_out.len(), 1);
        assert_eq!(results[1].as_ref().unwrap_err().verdict, Verdict::Rejected);
        let slow = results[3].as_ref().unwrap_err();
        assert_eq!(slow.verdict, Verdict::Throttled { retry_after: None });
    }

    #[test]
    fn a_batch_that_is_refused_as_a_whole_is_one_error() {
        for (status, code, verdict) in [
            (401, 10, Verdict::Misconfigured),
            (422, 410, Verdict::Bug),
            (413, 0, Verdict::Rejected),
            (200, 405, Verdict::Exhausted { until: None }),
            (429, 429, Verdict::Throttled { retry_after: None }),
            (500, 0, Verdict::Temporary { retry_after: None }),
        ] {
            let refused = read_batch(&error(status, code, "no"), 2, NOW.parse().unwrap());
            assert_eq!(refused.unwrap_err().verdict, verdict, "{status} {code}");
        }
    }

    #[test]
    fn every_refusal_of_the_table_has_its_meaning() {
        let later = Verdict::Temporary { retry_after: None };
        let throttled = Verdict::Throttled { retry_after: None };
        for (status, code, message, verdict) in [
            (401, 10, "The Server Token you provided is invalid", Verdict::Misconfigured),
            (422, 10, "No Account or Server API tokens were supplied", Verdict::Misconfigured),
            (503, 100, "down for maintenance", later),
            (422, 100, "down for maintenance", later),
            (422, 300, "Invalid 'To' address: 'x'.", Verdict::Rejected),
            (422, 300, "Provide either email TextBody or HtmlBody or both.", Verdict::Rejected),
            (422, 300, "Header 'Date' not allowed.", Verdict::Bug),
            (422, 400, "The 'From' address is not a Sender Signature", Verdict::Misconfigured),
            (422, 401, "has not been confirmed", Verdict::Misconfigured),
            (422, 402, "invalid JSON", Verdict::Bug),
            (422, 403, "invalid request field(s)", Verdict::Bug),
            (422, 405, "not allowed to send", Verdict::Exhausted { until: None }),
            (422, 406, "marked as inactive", Verdict::Rejected),
            (406, 406, "marked as inactive", Verdict::Rejected),
            (422, 409, "JSON required", Verdict::Bug),
            (409, 409, "JSON required", Verdict::Bug),
            (422, 410, "too many", Verdict::Bug),
            (422, 411, "forbidden attachment type", Verdict::Rejected),
            (422, 701, "illegal attachment type", Verdict::Rejected),
            (422, 412, "pending approval", Verdict::Misconfigured),
            (422, 413, "may not send", Verdict::Misconfigured),
            (422, 429, "slow down", throttled),
            (429, 429, "slow down", throttled),
            (429, 0, "slow down", throttled),
            (422, 1235, "the stream does not exist", Verdict::Rejected),
            (422, 9999, "something new", Verdict::Unknown),
            (200, 300, "Invalid 'To' address: 'x'.", Verdict::Rejected),
            (200, 9999, "something new", Verdict::Unknown),
            (404, 0, "", Verdict::Misconfigured),
            (413, 0, "too large", Verdict::Rejected),
            (415, 0, "", Verdict::Bug),
            (500, 0, "internal server error", later),
            (500, 300, "internal server error", later),
        ] {
            let refused = meaning(&error(status, code, message)).unwrap_err();
            assert_eq!(refused.verdict, verdict, "{status} {code} {message}");
            assert_eq!(refused.status, Some(status));
        }
    }

    #[test]
    fn the_wait_comes_from_retry_after() {
        let mut limited = error(429, 429, "slow down");
        limited.headers.insert(RETRY_AFTER, HeaderValue::from_static("2"));
        let expected = Verdict::Throttled { retry_after: Some(Duration::from_secs(2)) };
        assert_eq!(meaning(&limited).unwrap_err().verdict, expected);
    }

    #[test]
    fn the_words_are_postmarks_own() {
        let refused = meaning(&error(422, 300, "Invalid 'To'\n address.")).unwrap_err();
        assert_eq!(refused.to_string(), "422: ErrorCode 300: Invalid 'To' address.");
        let text = r#"{"ErrorCode":"10","Message":"Bad token"}"#;
        let refused = meaning(&answer(401, text)).unwrap_err();
        assert!(refused.reason.starts_with("ErrorCode 10: Bad token (it must be"), "{refused}");
    }

    #[test]
    fn a_block_of_the_network_in_front_of_the_api_is_no_fault_of_the_message() {
        let page = "<html><head><title>403 Forbidden</title></head></html>";
        let refused = meaning(&answer(403, page)).unwrap_err();
        assert_eq!(refused.verdict, Verdict::Misconfigured);
        assert!(refused.reason.contains("403 Forbidden"), "{refused}");
    }

    #[test]
    fn a_refusal_whose_reason_was_lost_is_asked_for_again() {
        let lost = Answer { whole: false, ..answer(422, r#"{"ErrorCode":30"#) };
        let refused = meaning(&lost).unwrap_err();
        assert_eq!(refused.verdict, Verdict::Temporary { retry_after: None });
        assert!(!refused.unclear);
    }

    #[test]
    fn only_a_clear_refusal_says_that_the_token_is_dead() {
        let now = NOW.parse().unwrap();
        let dead = error(401, 10, "The Server Token you provided is invalid");
        assert_eq!(read_server(&dead, now).unwrap().verdict, Verdict::Misconfigured);
        for alive in [
            answer(200, r#"{"ID":1,"Name":"Production","ApiTokens":["t"],"DeliveryType":"Live"}"#),
            answer(401, "<html>log in to this network</html>"),
            answer(403, "<html>"),
            error(404, 0, ""),
            error(429, 429, ""),
            error(500, 0, ""),
            answer(200, "<html>"),
            answer(302, ""),
        ] {
            assert_eq!(read_server(&alive, now), None, "{alive:?}");
        }
    }
}
