//! Reading refusals: what HTTP itself says, before a provider's table is asked.

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use jiff::fmt::rfc2822;
use serde_json::Value;

use super::exchange::Answer;
use super::{SendError, Verdict};
use crate::clock::Timestamp;

/// The longest text of a provider that is kept, in characters.
const WORDS_MAX: usize = 300;

/// The longest wait that a provider can ask for. More is either a mistake or not a matter of waiting.
const WAIT_MAX: Duration = Duration::from_hours(24);

/// A refusal with this meaning, in the provider's words.
pub(super) fn refusal(answer: &Answer, verdict: Verdict, words: &str) -> SendError {
    let words = shorten(words);
    SendError {
        verdict,
        status: Some(answer.status),
        reason: if words.is_empty() { "no reason given".to_owned() } else { words },
        unclear: lost_behind_a_gateway(answer.status),
    }
}

/// What a success without the service's sign of one means. Lost on the way, the sign may have been there; otherwise the
/// answer is not the service's but that of a login page or of a wrong `base_url`, and the mail waits.
pub(super) fn no_receipt(answer: &Answer, service: &str) -> SendError {
    if !answer.whole {
        let verdict = Verdict::Temporary { retry_after: None };
        let lost = refusal(answer, verdict, "the connection was lost within the answer");
        return SendError { unclear: true, ..lost };
    }
    let words = format!("the answer is not from {service}: {}", other_words(answer));
    refusal(answer, Verdict::Misconfigured, &words)
}

/// Statuses with which a gateway says that it handed the request on and got no answer.
fn lost_behind_a_gateway(status: u16) -> bool {
    matches!(status, 502 | 504 | 520 | 524)
}

/// What a status means where no table of the provider knows better.
pub(super) fn by_status(answer: &Answer, wait: Option<Duration>) -> Verdict {
    match answer.status {
        // The answer of something else: a wrong base_url, a login page of the network, a proxy.
        ..400 => Verdict::Misconfigured,
        401 | 403 | 404 | 405 | 407 => Verdict::Misconfigured,
        408 | 425 => Verdict::Temporary { retry_after: wait },
        409 | 415 => Verdict::Bug,
        413 => Verdict::Rejected,
        429 => Verdict::Throttled { retry_after: wait },
        400..500 => Verdict::Unknown,
        500.. => Verdict::Temporary { retry_after: wait },
    }
}

/// What a refusal means whose reason was lost on the way: no message is given up for it.
pub(super) fn by_status_or_later(answer: &Answer, now: Timestamp) -> Verdict {
    match by_status(answer, retry_after(&answer.headers, now)) {
        Verdict::Unknown | Verdict::Bug => Verdict::Temporary { retry_after: None },
        known @ (Verdict::Throttled { .. }
        | Verdict::Exhausted { .. }
        | Verdict::Temporary { .. }
        | Verdict::Misconfigured
        | Verdict::Rejected) => known,
    }
}

/// Retry-After, in seconds or as a date; at most a day.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Some(wait) = seconds(text) {
        return Some(wait);
    }
    let until = rfc2822::parse(text).ok()?.timestamp();
    Some(until_then(now, until))
}

/// A header field that counts the seconds to wait.
pub(super) fn seconds_header(headers: &HeaderMap, name: &str) -> Option<Duration> {
    seconds(headers.get(name)?.to_str().ok()?.trim())
}

/// A header field that names the second, counted from 1970, at which a limit renews.
pub(super) fn epoch_header(headers: &HeaderMap, name: &str, now: Timestamp) -> Option<Duration> {
    let second: i64 = headers.get(name)?.to_str().ok()?.trim().parse().ok()?;
    Some(until_then(now, Timestamp::from_second(second).ok()?))
}

fn seconds(text: &str) -> Option<Duration> {
    // Some services count fractions.
    let seconds: f64 = text.parse().ok().filter(|seconds: &f64| *seconds >= 0.0)?;
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(WAIT_MAX).min(WAIT_MAX))
}

/// How long it is from now to then; at most [`WAIT_MAX`].
pub(super) fn until_then(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or(Duration::ZERO).min(WAIT_MAX)
}

/// The answer as JSON, if that is what it is.
pub(super) fn json(answer: &Answer) -> Option<Value> {
    serde_json::from_slice(&answer.body).ok()
}

/// `name: message`, or what there is of the two; of an answer that has neither, [`other_words`].
pub(super) fn words(answer: &Answer, name: &str, message: &str) -> String {
    match (name, message) {
        ("", "") => other_words(answer),
        ("", text) | (text, "") => text.to_owned(),
        (name, message) => format!("{name}: {message}"),
    }
}

/// What an answer that is not in the API's form says. Of a page, the text between the tags is left.
pub(super) fn other_words(answer: &Answer) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    if !text.trim_start().starts_with('<') {
        return shorten(&text);
    }
    let between_tags =
        text.split('<').map(|piece| piece.split_once('>').map_or("", |(_, text)| text));
    let words = between_tags.collect::<Vec<_>>().join(" ");
    shorten(&format!("a page instead of an answer of the API: {words}"))
}

/// The text without these secrets, should a service have repeated them. Of one that was cut off by [`shorten`] the
/// beginning is struck out as well.
pub(super) fn without_secrets<'a>(
    text: String,
    secrets: impl IntoIterator<Item = &'a str>,
) -> String {
    /// As much of a secret tells nothing.
    const SHOWN_MAX: usize = 3;
    let mut text = text;
    for secret in secrets.into_iter().filter(|secret| !secret.is_empty()) {
        if text.contains(secret) {
            text = text.replace(secret, STRUCK);
        }
        let Some(cut) = text.find('…') else { continue };
        let shown = text.get(..cut).unwrap_or_default();
        let ends = secret.char_indices().map(|(at, _)| at).filter(|at| *at > SHOWN_MAX).rev();
        let beginning = ends.filter_map(|at| secret.get(..at)).find(|it| shown.ends_with(it));
        if let Some(beginning) = beginning {
            text.replace_range(cut - beginning.len()..cut, STRUCK);
        }
    }
    text
}

/// Stands in the place of a secret.
const STRUCK: &str = "***";

/// One line of at most [`WORDS_MAX`] characters.
pub(super) fn shorten(text: &str) -> String {
    let mut line = String::new();
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    for word in words.filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.chars().nth(WORDS_MAX).is_some() {
            return line.chars().take(WORDS_MAX - 1).chain(['…']).collect();
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::provider::samples::answer;

    fn asked(text: &'static str, now: &str) -> Option<Duration> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
        retry_after(&headers, now.parse().unwrap())
    }

    #[test]
    fn a_wait_is_given_in_seconds_or_as_a_date() {
        let now = "2026-11-21T10:00:00Z";
        assert_eq!(asked("3", now), Some(Duration::from_secs(3)));
        assert_eq!(asked(" 0.5 ", now), Some(Duration::from_millis(500)));
        assert_eq!(asked("Sat, 21 Nov 2026 10:02:00 GMT", now), Some(Duration::from_secs(120)));
        assert_eq!(asked("Sat, 21 Nov 2026 09:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(asked("99999999999999999999", now), Some(WAIT_MAX));
        assert_eq!(asked("-1", now), None);
        assert_eq!(asked("NaN", now), None);
        assert_eq!(asked("soon", now), None);
    }

    #[test]
    fn a_secret_is_struck_out_also_where_it_is_cut_off() {
        let secret = "re_0123456789";
        for length in 0..40 {
            let words = format!("{} {secret} and more", "x".repeat(WORDS_MAX - length));
            let text = without_secrets(shorten(&words) + " (in reply to AUTH)", [secret, ""]);
            assert!(!text.contains("re_0"), "{text}");
        }
        assert_eq!(without_secrets(format!("a {secret}, {secret}…"), [secret]), "a ***, ***…");
        assert_eq!(without_secrets("an answer…".to_owned(), ["er"]), "an answ***…");
    }

    #[test]
    fn long_words_become_one_short_line() {
        assert_eq!(shorten(" a\r\n\tb\u{7}c "), "a b c");
        assert_eq!(shorten(&"한".repeat(5000)).chars().count(), WORDS_MAX);
        assert_eq!(shorten(&"a b ".repeat(5000)).chars().count(), WORDS_MAX);
    }

    #[test]
    fn of_a_page_the_text_is_quoted() {
        assert_eq!(
            other_words(&answer(403, "\n<!doctype html><title>403 Forbidden</title><p>nginx<")),
            "a page instead of an answer of the API: 403 Forbidden nginx"
        );
    }

    #[test]
    fn only_gateways_leave_it_open_whether_the_request_arrived() {
        for (status, unclear) in
            [(500, false), (502, true), (503, false), (504, true), (429, false)]
        {
            let answer = answer(status, "");
            let error = refusal(&answer, by_status(&answer, None), "");
            assert_eq!(error.unclear, unclear, "{status}");
        }
    }
}
