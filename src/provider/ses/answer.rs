//! What the answers of SES mean.
//! <https://docs.aws.amazon.com/ses/latest/APIReference-V2/CommonErrors.html>

use std::time::Duration;

use serde_json::Value;

use crate::clock::Timestamp;
use crate::provider::api::clear_refusal;
use crate::provider::exchange::Answer;
use crate::provider::refusal::{by_status, json, no_receipt, refusal, retry_after, words};
use crate::provider::{Heard, Rate, Receipt, SendError, Verdict};

/// On every answer of AWS, so a sign that it is one.
const REQUEST_ID: &str = "x-amzn-requestid";

/// `LimitExceededException` does not pass within seconds.
const SLOWLY: Duration = Duration::from_mins(5);

/// Reads the answer to `SendEmail`.
///
/// A success of AWS whose id cannot be read was a success: a repeat would be a second copy. A success of anything else
/// counts as misconfigured, so that the mail waits.
pub(super) fn read(answer: &Answer, now: Timestamp) -> Result<Receipt, SendError> {
    if !(200..300).contains(&answer.status) {
        return Err(refused(answer, now));
    }
    let body = json(answer);
    let id = body.as_ref().and_then(|body| body.get("MessageId")?.as_str());
    if let Some(id) = id.filter(|id| !id.is_empty()) {
        return Ok(Receipt::named(id));
    }
    if answer.headers.contains_key(REQUEST_ID) {
        return Ok(Receipt::default());
    }
    Err(no_receipt(answer, "Amazon SES"))
}

/// What a refusal means when the message named a configuration set, a tenant or a contact list: that the account has none
/// of that name is between this message and the operator. It is tried by the next provider, and other mail goes on.
pub(super) fn of_the_apps_names(answer: &Answer, error: SendError) -> SendError {
    let name = name(answer, json(answer).as_ref());
    let is_missing = matches!(
        name.as_str(),
        "NotFoundException"
            | "ConfigurationSetDoesNotExist"
            | "ConfigurationSetDoesNotExistException"
    );
    if is_missing { SendError { verdict: Verdict::Unknown, ..error } } else { error }
}

/// Reads the answer to `GetAccount`: the refusal, if it is a clear one. A key that may send and nothing else is refused
/// here with `AccessDenied`, which proves that its signature is right.
pub(super) fn read_account(answer: &Answer, now: Timestamp) -> Option<SendError> {
    let body = json(answer);
    let name = name(answer, body.as_ref());
    if name.is_empty() || name.starts_with("AccessDenied") {
        return None;
    }
    clear_refusal(answer, read(answer, now))
}

/// What the answer to `GetAccount` says of the limits: recipients in a second, and those of the last 24 hours. A call has
/// one recipient at least, so that the rate is at most that of calls.
/// <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendQuota.html>
pub(super) fn limits(answer: &Answer) -> Option<Heard> {
    let body = json(answer)?;
    let figure = |name| body.get("SendQuota")?.get(name)?.as_f64().filter(|it| *it >= 1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole numbers of at least 1; `as` saturates"
    )]
    Heard {
        limit: figure("MaxSendRate")
            .map(|rate| Rate { calls: rate as u32, per: Duration::from_secs(1) }),
        used_today: figure("SentLast24Hours").map(|used| used as u64),
        ..Heard::default()
    }
    .or_none()
}

fn refused(answer: &Answer, now: Timestamp) -> SendError {
    let body = json(answer);
    let name = name(answer, body.as_ref());
    let message = body
        .as_ref()
        .and_then(|body| ["message", "Message"].iter().find_map(|key| body.get(key)?.as_str()))
        .unwrap_or_default();
    let mut words = words(answer, &name, message);
    let verdict = verdict(answer, &name, &message.to_ascii_lowercase(), now);
    if is_about_time(&name, message) {
        words.push_str(" (check the clock of this machine)");
    }
    refusal(answer, verdict, &words)
}

/// From the header up to the first colon, after any `#`; otherwise from the body.
fn name(answer: &Answer, body: Option<&Value>) -> String {
    let header = answer.headers.get("x-amzn-errortype").and_then(|name| name.to_str().ok());
    let from_body = || ["__type", "code"].iter().find_map(|key| body?.get(key)?.as_str());
    let name = header.or_else(from_body).unwrap_or_default();
    let name = name.split(':').next().unwrap_or_default();
    name.rsplit('#').next().unwrap_or_default().trim().to_owned()
}

fn verdict(answer: &Answer, name: &str, message: &str, now: Timestamp) -> Verdict {
    let wait = || retry_after(&answer.headers, now);
    if message.contains("daily message quota exceeded") {
        // Within 24 hours, rolling: there is no moment at which it renews.
        return Verdict::Exhausted { until: None };
    }
    if message.contains("maximum sending rate exceeded") {
        return Verdict::Throttled { retry_after: wait() };
    }
    match (answer.status, name) {
        (400..500, "TooManyRequestsException") => Verdict::Throttled { retry_after: wait() },
        (400..500, name) if name.starts_with("Throttling") => {
            Verdict::Throttled { retry_after: wait() }
        }
        (400, "LimitExceededException") => {
            Verdict::Temporary { retry_after: wait().or(Some(SLOWLY)) }
        }
        (400, "MessageRejected") if message.contains("is not verified") => Verdict::Misconfigured,
        (400, "MessageRejected" | "BadRequestException") => Verdict::Rejected,
        (400, "MailFromDomainNotVerifiedException") => Verdict::Misconfigured,
        (400, "AccountSuspendedException" | "SendingPausedException") => Verdict::Misconfigured,
        (400, name) if is_about_the_key(name) => Verdict::Misconfigured,
        (400, _) if !answer.whole => Verdict::Temporary { retry_after: None },
        (_, _) => by_status(answer, wait()),
    }
}

/// The common errors of AWS about who asks. They come as 403, and from some services as 400.
fn is_about_the_key(name: &str) -> bool {
    const NAMES: [&str; 12] = [
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
        "NotAuthorized",
        "OptInRequired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    ];
    NAMES.contains(&name) || name == "RequestExpired"
}

fn is_about_time(name: &str, message: &str) -> bool {
    name == "RequestExpired"
        || message.contains("Signature expired")
        || message.contains("Signature not yet current")
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use serde_json::json;

    use super::*;
    use crate::provider::samples::answer;

    const NOW: &str = "2026-11-21T10:30:00Z";

    fn with(mut answer: Answer, name: &'static str, value: &'static str) -> Answer {
        answer.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        answer
    }

    fn error(status: u16, name: &str, message: &str) -> Answer {
        answer(status, json!({"__type": name, "message": message}).to_string())
    }

    fn meaning(answer: &Answer) -> Result<Receipt, SendError> {
        read(answer, NOW.parse().unwrap())
    }

    #[test]
    fn the_account_tells_its_limits() {
        let account = answer(
            200,
            r#"{"SendingEnabled":true,"SendQuota":{"Max24HourSend":50000.0,"MaxSendRate":14.0,"SentLast24Hours":123.0}}"#,
        );
        let heard = limits(&account).unwrap();
        assert_eq!(heard.limit, Some(Rate { calls: 14, per: Duration::from_secs(1) }));
        assert_eq!(heard.used_today, Some(123));
        for body in ["{}", "", r#"{"SendQuota":{"MaxSendRate":-1.0}}"#] {
            assert_eq!(limits(&answer(200, body)), None, "{body}");
        }
    }

    #[test]
    fn a_name_that_the_message_chose_is_no_fault_of_the_account() {
        for (status, name, verdict) in [
            (404, "NotFoundException", Verdict::Unknown),
            (400, "ConfigurationSetDoesNotExistException", Verdict::Unknown),
            (400, "BadRequestException", Verdict::Rejected),
            (403, "AccessDeniedException", Verdict::Misconfigured),
            (404, "", Verdict::Misconfigured),
        ] {
            let mut refused = answer(status, "{}");
            refused.headers.insert("x-amzn-errortype", name.parse().unwrap());
            let error = read(&refused, "2026-11-21T10:00:00Z".parse().unwrap()).unwrap_err();
            assert_eq!(of_the_apps_names(&refused, error).verdict, verdict, "{status} {name}");
        }
    }

    #[test]
    fn the_id_is_the_receipt() {
        let receipt = meaning(&answer(200, r#"{"MessageId":"0102-1"}"#)).unwrap();
        assert_eq!(receipt.provider_message_id.as_deref(), Some("0102-1"));
    }

    #[test]
    fn a_success_of_aws_is_one_even_if_its_id_was_lost() {
        let lost = Answer { whole: false, ..with(answer(200, "{"), REQUEST_ID, "1") };
        assert_eq!(meaning(&lost).unwrap().provider_message_id, None);
    }

    #[test]
    fn a_success_of_anything_else_is_none() {
        let error = meaning(&answer(200, "<html>log in</html>")).unwrap_err();
        assert_eq!((error.verdict, error.unclear), (Verdict::Misconfigured, false));
        let error = meaning(&Answer { whole: false, ..answer(200, "{") }).unwrap_err();
        assert_eq!(error.verdict, Verdict::Temporary { retry_after: None });
        assert!(error.unclear);
    }

    #[test]
    fn every_refusal_of_the_table_has_its_meaning() {
        let later = Verdict::Temporary { retry_after: None };
        let throttled = Verdict::Throttled { retry_after: None };
        let exhausted = Verdict::Exhausted { until: None };
        for (status, name, message, verdict) in [
            (429, "TooManyRequestsException", "", throttled),
            (400, "ThrottlingException", "Rate exceeded", throttled),
            (400, "Throttling", "Maximum sending rate exceeded.", throttled),
            (454, "Other", "Maximum sending rate exceeded.", throttled),
            (400, "LimitExceededException", "Daily message quota exceeded.", exhausted),
            (429, "TooManyRequestsException", "Daily message quota exceeded", exhausted),
            (400, "LimitExceededException", "", Verdict::Temporary { retry_after: Some(SLOWLY) }),
            (
                400,
                "MessageRejected",
                "Email address is not verified. The following identities failed the check",
                Verdict::Misconfigured,
            ),
            (400, "MessageRejected", "Illegal content", Verdict::Rejected),
            (400, "BadRequestException", "Missing final '@domain'", Verdict::Rejected),
            (400, "MailFromDomainNotVerifiedException", "", Verdict::Misconfigured),
            (400, "AccountSuspendedException", "", Verdict::Misconfigured),
            (400, "SendingPausedException", "", Verdict::Misconfigured),
            (400, "ExpiredTokenException", "", Verdict::Misconfigured),
            (400, "SomethingNew", "", Verdict::Unknown),
            (403, "SignatureDoesNotMatch", "", Verdict::Misconfigured),
            (403, "SomethingNew", "", Verdict::Misconfigured),
            (404, "NotFoundException", "", Verdict::Misconfigured),
            (405, "", "", Verdict::Misconfigured),
            (408, "", "", later),
            (409, "ConflictException", "", Verdict::Bug),
            (413, "", "", Verdict::Rejected),
            (415, "", "", Verdict::Bug),
            (425, "", "", later),
            (500, "InternalFailure", "", later),
            (503, "ServiceUnavailable", "", later),
            (301, "", "", Verdict::Misconfigured),
        ] {
            let refused = meaning(&error(status, name, message)).unwrap_err();
            assert_eq!(refused.verdict, verdict, "{status} {name} {message}");
        }
    }

    #[test]
    fn the_name_is_found_wherever_it_stands() {
        let url = "MessageRejected:http://internal.amazon.com/coral/";
        for named in [
            with(answer(400, r#"{"message":"x"}"#), "x-amzn-errortype", url),
            answer(400, r#"{"__type":"com.amazonaws.ses#MessageRejected","message":"x"}"#),
            answer(400, r#"{"code":"MessageRejected","Message":"x"}"#),
        ] {
            let refused = meaning(&named).unwrap_err();
            assert_eq!(refused.reason, "MessageRejected: x");
            assert_eq!(refused.verdict, Verdict::Rejected);
        }
    }

    #[test]
    fn a_refused_time_hints_at_the_clock() {
        let late =
            error(403, "InvalidSignatureException", "Signature expired: 2026 is now earlier");
        assert!(meaning(&late).unwrap_err().reason.contains("check the clock"));
    }

    #[test]
    fn only_a_clear_refusal_says_that_the_key_is_dead() {
        let now = NOW.parse().unwrap();
        for dead in [
            error(403, "SignatureDoesNotMatch", "x"),
            error(403, "UnrecognizedClientException", "x"),
            error(400, "ExpiredTokenException", "x"),
        ] {
            assert_eq!(read_account(&dead, now).unwrap().verdict, Verdict::Misconfigured);
        }
        for alive in [
            answer(200, r#"{"SendingEnabled":true}"#),
            error(403, "AccessDeniedException", "not authorized to perform: ses:GetAccount"),
            error(404, "UnknownOperationException", ""),
            error(429, "TooManyRequestsException", ""),
            error(500, "InternalFailure", ""),
            answer(403, "<html>"),
            answer(501, ""),
        ] {
            assert_eq!(read_account(&alive, now), None, "{alive:?}");
        }
    }
}
