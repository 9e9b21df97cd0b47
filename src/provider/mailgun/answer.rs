//! What Mailgun's answers mean.
//! <https://documentation.mailgun.com/docs/mailgun/api-reference/mg-status-codes>

use std::time::Duration;

use jiff::fmt::rfc2822;
use serde_json::Value;

use crate::clock::Timestamp;
use crate::provider::api::clear_refusal;
use crate::provider::exchange::Answer;
use crate::provider::refusal::{
    by_status, by_status_or_later, json, no_receipt, other_words, refusal, retry_after, until_then,
};
use crate::provider::{Receipt, SendError, Verdict};

/// Stands before the time at which a limit renews.
const WAIT: &str = "try again after ";

/// Reads the answer to `POST /v3/{domain}/messages.mime`.
///
/// A success without an id is that of another path or host, which may come as plain text: the mail waits. The id is kept
/// without its angle brackets, as the events have it (`message.headers.message-id`).
pub(super) fn read(answer: &Answer, now: Timestamp) -> Result<Receipt, SendError> {
    if !(200..300).contains(&answer.status) {
        return Err(refused(answer, now));
    }
    let body = json(answer);
    let id = body.as_ref().and_then(|body| body.get("id")?.as_str()).unwrap_or_default().trim();
    let id = id.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(id);
    if id.is_empty() { Err(no_receipt(answer, "Mailgun")) } else { Ok(Receipt::named(id)) }
}

/// What a refusal means when the message named the address that it is to be sent from (`X-Mailgun-Sending-Ip`): that the
/// account has no such address is between this message and the operator. It is tried by the next provider, and other
/// mail goes on.
pub(super) fn of_the_apps_address(answer: &Answer, error: SendError) -> SendError {
    let text = message(answer).unwrap_or_default().to_ascii_lowercase();
    let is_about_it = text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == "ip");
    if answer.status == 403 && error.verdict == Verdict::Misconfigured && is_about_it {
        return SendError { verdict: Verdict::Unknown, ..error };
    }
    error
}

/// Reads the answer to `GET /v4/domains/{domain}`, or to an empty request to send: the refusal, if it is a clear one.
pub(super) fn read_domain(answer: &Answer, now: Timestamp) -> Option<SendError> {
    if answer.status == 200 {
        let body = json(answer)?;
        let state = body.get("domain")?.get("state")?.as_str()?;
        let words = format!("the domain is {state}, mail is sent from an active one");
        return matches!(state, "unverified" | "disabled")
            .then(|| refusal(answer, Verdict::Misconfigured, &words));
    }
    let message = message(answer)?;
    if answer.status == 404 && message.to_ascii_lowercase().contains("domain") {
        // Often it is in the other region.
        return Some(refused(answer, now));
    }
    clear_refusal(answer, read(answer, now))
}

/// The service did not let this key ask that.
pub(super) fn is_refusal_of_a_right(answer: &Answer) -> bool {
    matches!(answer.status, 401 | 403)
}

/// Whether the answer can only be had with a key that Mailgun knows: the domain, or what an empty request to send
/// lacks.
pub(super) fn is_of_a_known_key(answer: &Answer) -> bool {
    let Some(body) = json(answer) else { return false };
    match answer.status {
        200 => body.get("domain").is_some(),
        400 => body.get("message").is_some(),
        _ => false,
    }
}

fn refused(answer: &Answer, now: Timestamp) -> SendError {
    let message = message(answer);
    let mut words = message.clone().unwrap_or_else(|| other_words(answer));
    let text = message.unwrap_or_default();
    let verdict = verdict(answer, &text.to_ascii_lowercase(), &text, now);
    if answer.status == 404 {
        words.push_str(" (is the domain in the other region, us or eu?)");
    }
    refusal(answer, verdict, &words)
}

/// What Mailgun says: the `message` of an object, or a text alone, with quotes or without. `None` for everything else,
/// such as the page of a proxy.
fn message(answer: &Answer) -> Option<String> {
    match json(answer) {
        Some(Value::String(text)) => Some(text),
        Some(body) => Some(body.get("message")?.as_str()?.to_owned()),
        None => {
            let text = std::str::from_utf8(&answer.body).ok()?.trim();
            (text == "Forbidden").then(|| text.to_owned())
        }
    }
}

fn verdict(answer: &Answer, lower: &str, text: &str, now: Timestamp) -> Verdict {
    if !answer.whole {
        return by_status_or_later(answer, now);
    }
    let wait = || retry_after(&answer.headers, now).or_else(|| wait_in_words(text, now));
    match answer.status {
        // The same words come with several statuses.
        400 | 403 | 429 if lower.contains("limit exceeded") || lower.contains(WAIT) => {
            Verdict::Throttled { retry_after: wait() }
        }
        400 if is_about_the_account(lower) => Verdict::Misconfigured,
        400 if !lower.is_empty() => Verdict::Rejected,
        402 => Verdict::Exhausted { until: None },
        403 if lower.contains("large batch") => Verdict::Exhausted { until: None },
        _ => by_status(answer, wait()),
    }
}

/// The sandbox, a free account, a domain that is not verified, an account that was not activated or is disabled.
fn is_about_the_account(lower: &str) -> bool {
    const SIGNS: [&str; 9] = [
        "is not allowed to send",
        "domain is unverified",
        "activate your mailgun account",
        "account is disabled",
        "account disabled",
        "account has been",
        "domain is disabled",
        "free accounts are for test purposes",
        "sandbox subdomains are for test purposes",
    ];
    SIGNS.iter().any(|sign| lower.contains(sign))
}

/// `try again after 120 seconds`, `try again after Sat, 21 Nov 2026 10:02:00 UTC`.
fn wait_in_words(text: &str, now: Timestamp) -> Option<Duration> {
    let at = text.to_ascii_lowercase().find(WAIT)?;
    let rest = text.get(at + WAIT.len()..)?.trim().trim_end_matches('.');
    if let Some((count, unit)) = rest.split_once(' ')
        && let Ok(count) = count.parse::<u32>()
    {
        let seconds = match unit.trim_end_matches('s') {
            "second" => 1,
            "minute" => 60,
            "hour" => 3600,
            _ => return None,
        };
        let then = now.checked_add(Duration::from_secs(u64::from(count) * seconds)).ok()?;
        return Some(until_then(now, then));
    }
    let then = rfc2822::parse(&rest.replace("UTC", "+0000")).ok()?.timestamp();
    Some(until_then(now, then))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provider::samples::answer;

    const NOW: &str = "2026-11-21T10:00:00Z";

    fn meaning(answer: &Answer) -> Result<Receipt, SendError> {
        read(answer, NOW.parse().unwrap())
    }

    fn error(status: u16, message: &str) -> Answer {
        answer(status, json!({"message": message}).to_string())
    }

    #[test]
    fn an_id_is_kept_as_the_events_have_it() {
        for body in [
            r#"{"id":"<20261121.1@mg.example.org>","message":"Queued. Thank you."}"#,
            r#"{"id":"20261121.1@mg.example.org"}"#,
        ] {
            let receipt = meaning(&answer(200, body)).unwrap();
            assert_eq!(receipt.provider_message_id.as_deref(), Some("20261121.1@mg.example.org"));
        }
    }

    #[test]
    fn a_success_without_an_id_is_that_of_a_wrong_path() {
        for body in ["Mailgun Magnificent API", "", "{}", r#"{"id":""}"#, r#"{"id":"<>"}"#] {
            let refused = meaning(&answer(200, body)).unwrap_err();
            assert_eq!(refused.verdict, Verdict::Misconfigured, "{body}");
            assert!(refused.reason.contains("not from Mailgun"), "{refused}");
        }
        let lost = Answer { whole: false, ..answer(200, "{\"id\":") };
        assert!(meaning(&lost).unwrap_err().unclear);
    }

    #[test]
    fn refusals_mean_what_the_table_says() {
        let throttled = |seconds: Option<u64>| Verdict::Throttled {
            retry_after: seconds.map(Duration::from_secs),
        };
        let held = Verdict::Exhausted { until: None };
        for (status, message, verdict) in [
            (
                400,
                "Domain sandbox1.mailgun.org is not allowed to send: Sandbox subdomains are for test purposes only.",
                Verdict::Misconfigured,
            ),
            (
                400,
                "Domain mg.example.org is not allowed to send: The domain is unverified and requires DNS configuration.",
                Verdict::Misconfigured,
            ),
            (400, "Please activate your Mailgun account.", Verdict::Misconfigured),
            (400, "Your account has been suspended. Contact support.", Verdict::Misconfigured),
            (
                400,
                "to parameter is not a valid address. please check documentation",
                Verdict::Rejected,
            ),
            (
                400,
                "Send options (parameters starting with o:, h:, or v:) are limited to 16KB total",
                Verdict::Rejected,
            ),
            (401, "Invalid private key", Verdict::Misconfigured),
            (402, "request failed", held),
            (403, "Sending to large batches is not allowed yet: large batch", held),
            (403, "IP 192.0.2.1 cannot be used", Verdict::Misconfigured),
            (404, "Domain not found: mg.example.org", Verdict::Misconfigured),
            (413, "Request Entity Too Large", Verdict::Rejected),
            (
                429,
                "Domain mg.example.org is not allowed to send: account-requests-per-sec limit exceeded, try again \
                 after 120 seconds",
                throttled(Some(120)),
            ),
            (
                400,
                "Domain mg.example.org is not allowed to send: recipient limit exceeded, try again after Sat, 21 Nov \
                 2026 10:02:00 UTC",
                throttled(Some(120)),
            ),
            (
                429,
                "request limit exceeded, try again after Sat, 21 Nov 2026 10:05:00 GMT.",
                throttled(Some(300)),
            ),
            (429, "try again after 5 minutes", throttled(Some(300))),
            (429, "try again after 100000 hours", throttled(Some(24 * 3600))),
            (429, "try again after a while", throttled(None)),
            (429, "Too many requests", throttled(None)),
            (500, "Internal Server Error", Verdict::Temporary { retry_after: None }),
            (503, "", Verdict::Temporary { retry_after: None }),
        ] {
            let refused = meaning(&error(status, message)).unwrap_err();
            assert_eq!(refused.verdict, verdict, "{status} {message}");
            let start: String = message.chars().take(30).collect();
            assert!(refused.reason.contains(&start), "{refused}");
        }
    }

    #[test]
    fn an_address_that_the_message_chose_is_no_fault_of_the_account() {
        for (answer, verdict) in [
            (error(403, "IP 192.0.2.1 cannot be used"), Verdict::Unknown),
            (error(403, "Forbidden"), Verdict::Misconfigured),
            (error(401, "Your IP is not allowed"), Verdict::Misconfigured),
        ] {
            let refused = of_the_apps_address(&answer, meaning(&answer).unwrap_err());
            assert_eq!(refused.verdict, verdict, "{refused}");
        }
    }

    #[test]
    fn what_is_not_mailguns_says_nothing_about_the_message() {
        for (status, body, verdict) in [
            (400, "<html><title>400 Bad Request</title>nginx", Verdict::Unknown),
            (400, r#"{"code":7}"#, Verdict::Unknown),
            (401, "Forbidden", Verdict::Misconfigured),
            (401, r#""Forbidden""#, Verdict::Misconfigured),
            (404, "<html>", Verdict::Misconfigured),
        ] {
            assert_eq!(meaning(&answer(status, body)).unwrap_err().verdict, verdict, "{body}");
        }
        let wrong_region = meaning(&error(404, "Domain not found: x")).unwrap_err();
        assert!(wrong_region.reason.contains("us or eu"), "{wrong_region}");
    }

    #[test]
    fn only_a_clear_refusal_says_that_the_account_is_dead() {
        let now = NOW.parse().unwrap();
        let domain = |state: &str| answer(200, json!({"domain": {"state": state}}).to_string());
        for dead in [
            answer(401, "Forbidden"),
            error(401, "Invalid private key"),
            error(404, "Domain not found: mg.example.org"),
            error(
                400,
                "Domain mg.example.org is not allowed to send: Free accounts are for test purposes only.",
            ),
            domain("unverified"),
            domain("disabled"),
        ] {
            let refused = read_domain(&dead, now).unwrap();
            assert_eq!(refused.verdict, Verdict::Misconfigured, "{dead:?}");
            assert!(!is_of_a_known_key(&dead) || dead.status != 401);
        }
        for alive in [
            domain("active"),
            domain("of a new kind"),
            error(400, "from parameter is missing"),
            error(429, "try again after 2 seconds"),
            error(500, "x"),
            answer(200, "{}"),
            answer(401, ""),
            answer(403, "<html>"),
            answer(404, "{}"),
        ] {
            assert_eq!(read_domain(&alive, now), None, "{alive:?}");
        }
        assert!(is_of_a_known_key(&domain("active")));
        assert!(is_of_a_known_key(&error(400, "from parameter is missing")));
        assert!(
            !is_of_a_known_key(&error(401, "Forbidden")) && !is_of_a_known_key(&answer(200, "{}"))
        );
    }
}
