//! What the answers of a receiver mean: what HTTP says, because there is no table of its own.

use serde_json::Value;

use crate::clock::Timestamp;
use crate::provider::exchange::Answer;
use crate::provider::refusal::{
    by_status, by_status_or_later, json, other_words, refusal, retry_after,
};
use crate::provider::{Receipt, SendError, Verdict};

/// Reads the answer to a message.
///
/// Every 2xx is a yes, with whatever body; but a web page is the answer of something else, such as a login page before
/// the receiver, and the mail waits. A yes that was cut off is still one.
pub(super) fn read(answer: &Answer, now: Timestamp) -> Result<Receipt, SendError> {
    if !(200..300).contains(&answer.status) {
        return Err(refused(answer, now));
    }
    if is_page(answer) {
        return Err(refusal(answer, Verdict::Misconfigured, &other_words(answer)));
    }
    Ok(name(answer).map_or_else(Receipt::default, |name| Receipt::named(&name)))
}

/// Reads the answer to a ping: the refusal, if it is a clear one. What would set the receiver aside as the answer to a
/// message does so here, because address, method and signature are the same. Everything else may work.
pub(super) fn read_ping(answer: &Answer, now: Timestamp) -> Option<SendError> {
    read(answer, now).err().filter(|error| error.verdict == Verdict::Misconfigured)
}

/// What the receiver calls the message, where it says so.
fn name(answer: &Answer) -> Option<String> {
    let body = json(answer)?;
    let text = match body.get("id").or_else(|| body.get("message_id"))? {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    (!text.is_empty()).then_some(text)
}

fn refused(answer: &Answer, now: Timestamp) -> SendError {
    let verdict = match answer.status {
        400 | 422 if !answer.whole => by_status_or_later(answer, now),
        // Of a page, it is the server before the receiver that does not take the request; and no mail is given up for words
        // that nobody here can read, such as compressed ones.
        400 | 422 if !is_page(answer) && std::str::from_utf8(&answer.body).is_ok() => {
            Verdict::Rejected
        }
        // There is no receiver any more.
        410 => Verdict::Misconfigured,
        _ => by_status(answer, retry_after(&answer.headers, now)),
    };
    refusal(answer, verdict, &words(answer))
}

/// The receiver's own words: the text that stands where errors have it, else the whole body.
fn words(answer: &Answer) -> String {
    let body = json(answer);
    let member = |name: &str| body.as_ref()?.get(name);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let found =
        member("error").and_then(|error| text(error).or_else(|| text(error.get("message")?)));
    let found = found.or_else(|| ["message", "detail"].iter().find_map(|name| text(member(name)?)));
    found.unwrap_or_else(|| other_words(answer))
}

fn is_page(answer: &Answer) -> bool {
    let start = answer.body.trim_ascii_start();
    let begins = |with: &str| {
        start.get(..with.len()).is_some_and(|it| it.eq_ignore_ascii_case(with.as_bytes()))
    };
    begins("<!doctype") || begins("<html")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderValue;
    use http::header::RETRY_AFTER;

    use super::*;
    use crate::provider::samples::answer;

    fn meaning(answer: &Answer) -> Result<Receipt, SendError> {
        read(answer, "2026-11-21T10:00:00Z".parse().unwrap())
    }

    #[test]
    fn every_success_is_a_yes_and_may_give_a_name() {
        for (status, body, name) in [
            (200, r#"{"id":"m-1"}"#, Some("m-1")),
            (201, r#"{"message_id":" m-2\n"}"#, Some("m-2")),
            (202, r#"{"id":17}"#, Some("17")),
            (200, r#"{"id":null,"ok":true}"#, None),
            (200, r#"{"id":""}"#, None),
            (200, "OK", None),
            (200, "\u{7f}", None),
            (204, "", None),
        ] {
            let receipt = meaning(&answer(status, body)).unwrap();
            assert_eq!(receipt.provider_message_id.as_deref(), name, "{body}");
        }
        let cut = Answer { whole: false, ..answer(200, r#"{"id":"m-"#) };
        assert_eq!(meaning(&cut), Ok(Receipt::default()));
    }

    #[test]
    fn a_page_is_not_the_receivers_answer() {
        for page in ["<html>Please log in</html>", "\n <!DOCTYPE html><title>Log in</title>"] {
            let refused = meaning(&answer(200, page)).unwrap_err();
            assert_eq!(refused.verdict, Verdict::Misconfigured);
            assert!(refused.reason.to_lowercase().contains("log in"), "{refused}");
        }
        let refused = meaning(&answer(400, "<html>400 Bad Request, nginx")).unwrap_err();
        assert_eq!(refused.verdict, Verdict::Unknown);
        let unreadable = meaning(&answer(422, &b"\x1f\x8b\x08"[..])).unwrap_err();
        assert_eq!(unreadable.verdict, Verdict::Unknown);
    }

    #[test]
    fn refusals_mean_what_http_says() {
        let later = Verdict::Temporary { retry_after: None };
        for (status, verdict) in [
            (301, Verdict::Misconfigured),
            (308, Verdict::Misconfigured),
            (400, Verdict::Rejected),
            (401, Verdict::Misconfigured),
            (403, Verdict::Misconfigured),
            (404, Verdict::Misconfigured),
            (405, Verdict::Misconfigured),
            (408, later),
            (409, Verdict::Bug),
            (410, Verdict::Misconfigured),
            (413, Verdict::Rejected),
            (415, Verdict::Bug),
            (418, Verdict::Unknown),
            (422, Verdict::Rejected),
            (429, Verdict::Throttled { retry_after: None }),
            (500, later),
            (503, later),
        ] {
            let refused = meaning(&answer(status, "no")).unwrap_err();
            assert_eq!(refused.verdict, verdict, "{status}");
        }
        let mut busy = answer(503, "");
        busy.headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
        let wait = Some(Duration::from_secs(7));
        assert_eq!(meaning(&busy).unwrap_err().verdict, Verdict::Temporary { retry_after: wait });
        let cut = Answer { whole: false, ..answer(422, "{") };
        assert_eq!(meaning(&cut).unwrap_err().verdict, later);
    }

    #[test]
    fn the_receivers_own_words_are_kept() {
        for (body, words) in [
            ("no such mailbox", "no such mailbox"),
            (r#"{"error":"no such mailbox"}"#, "no such mailbox"),
            (r#"{"error":{"code":1,"message":"no such mailbox"}}"#, "no such mailbox"),
            (r#"{"message":"no such mailbox"}"#, "no such mailbox"),
            (r#"{"detail":"no such mailbox"}"#, "no such mailbox"),
            (r#"{"reason":1}"#, r#"{"reason":1}"#),
            ("", "no reason given"),
        ] {
            assert_eq!(meaning(&answer(422, body)).unwrap_err().reason, words);
        }
    }

    #[test]
    fn a_ping_is_refused_as_mail_would_be() {
        let ping = |status: u16, body: &'static str| {
            read_ping(&answer(status, body), "2026-11-21T10:00:00Z".parse().unwrap())
        };
        for (status, body) in
            [(401, ""), (403, ""), (404, ""), (410, ""), (302, ""), (200, "<html>")]
        {
            assert!(ping(status, body).is_some(), "{status}");
        }
        // It need not know pings.
        for status in [200, 204, 400, 422, 429, 500, 503] {
            assert_eq!(ping(status, "unknown type"), None, "{status}");
        }
    }
}
