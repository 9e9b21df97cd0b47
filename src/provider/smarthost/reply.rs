//! What a reply of the server means: for the message, for one recipient, for the account.
//!
//! RFC 5321 §4.2, RFC 3463 and RFC 4954 say what codes mean in general. What services mean by theirs is in
//! <https://support.google.com/a/answer/3726730>,
//! <https://learn.microsoft.com/exchange/mail-flow-best-practices/non-delivery-reports-in-exchange-online> and
//! <https://docs.aws.amazon.com/ses/latest/dg/troubleshoot-smtp.html>.

use std::fmt;

use lettre::transport::smtp::response::Response;

use crate::provider::refusal::shorten;
use crate::provider::{SendError, Verdict};

/// How far the dialogue has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum Step {
    Connect,
    Handshake,
    Greeting,
    Hello,
    StartTls,
    Login,
    /// RSET, by which a connection is found to be alive.
    Reset,
    Sender,
    Recipient,
    Data,
    /// The content is under way, its end is not.
    Content,
    /// The end of the content has been sent: from here on the server may have the message.
    Answer,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Handshake => "the TLS handshake",
            Self::Greeting => "the greeting",
            Self::Hello => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Login => "AUTH",
            Self::Reset => "RSET",
            Self::Sender => "MAIL FROM",
            Self::Recipient => "RCPT TO",
            Self::Data => "DATA",
            Self::Content => "the content",
            Self::Answer => "the end of the content",
        })
    }
}

/// A reply code and its text in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    /// With the enhanced status code (RFC 3463) first, if there is one, and once.
    pub(super) text: String,
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        let mut lines = response.message();
        let mut text = lines.next().unwrap_or_default().trim().to_owned();
        let code = enhanced(&text).map(|(code, _)| code.to_owned());
        for line in lines {
            let repeated = code.as_deref().and_then(|code| line.trim_start().strip_prefix(code));
            text.push(' ');
            text.push_str(repeated.unwrap_or(line).trim());
        }
        Self { code: response.code().into(), text: text.trim().to_owned() }
    }
}

impl Reply {
    pub(super) fn is_positive(&self) -> bool {
        self.code < 300
    }

    /// The server closes the connection (RFC 5321 §3.8).
    pub(super) fn closes(&self) -> bool {
        self.code == 421
    }

    /// The last two numbers of the enhanced status code.
    fn detail(&self) -> Option<(u16, u16)> {
        enhanced(&self.text).map(|(_, detail)| detail)
    }

    /// What the server calls the message that it has taken: the queue id where there is one that can be told, else its
    /// words.
    pub(super) fn queue_id(&self) -> Option<String> {
        let words = enhanced(&self.text)
            .map_or(&*self.text, |(code, _)| self.text.strip_prefix(code).unwrap_or(&self.text));
        let words = shorten(words);
        let lower = words.to_ascii_lowercase();
        // Postfix; Exim begins with it.
        let named = lower.find("queued as ").map(|at| at + "queued as ".len());
        let named = named.or_else(|| lower.starts_with("ok id=").then_some("ok id=".len()));
        if let Some(rest) = named.and_then(|at| words.get(at..)) {
            let id = rest.split_whitespace().next().unwrap_or_default();
            let id = id.trim_end_matches(['.', ',', ';', ')']);
            if !id.is_empty() {
                return Some(id.to_owned());
            }
        }
        // SES, Gmail.
        let rest = if lower.starts_with("ok") { words.get(2..) } else { Some(words.as_str()) };
        let rest = rest.unwrap_or_default().trim_start_matches([':', ',', ' ']);
        (!rest.is_empty()).then(|| rest.to_owned())
    }
}

/// The enhanced status code that a text begins with, and its last two numbers.
fn enhanced(text: &str) -> Option<(&str, (u16, u16))> {
    let word = text.split_whitespace().next()?;
    let mut numbers = word.split('.').map(|number| {
        let reads = (1..=3).contains(&number.len()) && number.bytes().all(|c| c.is_ascii_digit());
        reads.then(|| number.parse::<u16>().ok()).flatten()
    });
    let class = numbers.next()??;
    let detail = (numbers.next()??, numbers.next()??);
    (matches!(class, 2 | 4 | 5) && numbers.next().is_none()).then_some((word, detail))
}

/// The refusal of the call.
pub(super) fn refusal(step: Step, reply: &Reply) -> SendError {
    let text = shorten(&reply.text);
    let text = if text.is_empty() { "no reason given".to_owned() } else { text };
    SendError {
        verdict: verdict(step, reply),
        status: Some(reply.code),
        reason: format!("{text} (in reply to {step})"),
        unclear: false,
    }
}

/// What the refusal of one recipient among others means: whether it may be served later.
pub(super) fn may_be_served_later(reply: &Reply) -> bool {
    verdict(Step::Recipient, reply) != Verdict::Rejected
}

/// The table.
pub(super) fn verdict(step: Step, reply: &Reply) -> Verdict {
    const LATER: Verdict = Verdict::Temporary { retry_after: None };

    let text = reply.text.to_ascii_lowercase();
    let detail = reply.detail();
    // Words about a mailbox that is full are about the recipient.
    if reply.code >= 400 && step != Step::Recipient && is_quota(&text, detail)
        || is_daily_limit(&text, detail)
    {
        return Verdict::Exhausted { until: None };
    }
    if (400..500).contains(&reply.code) {
        let slow_down = is_rate(&text, detail);
        return if slow_down { Verdict::Throttled { retry_after: None } } else { LATER };
    }
    if reply.code < 400 {
        // Out of step, or a 3xx where none belongs.
        return LATER;
    }
    if is_account(reply.code, &text, detail) || (step < Step::Content && is_door(&text, detail)) {
        return Verdict::Misconfigured;
    }
    match step {
        // Nothing has been said of a message yet.
        Step::Connect
        | Step::Handshake
        | Step::Greeting
        | Step::Hello
        | Step::StartTls
        | Step::Login
        | Step::Reset => Verdict::Misconfigured,
        Step::Sender => sender(reply.code, detail),
        Step::Recipient if matches!(reply.code, 500..=504) && detail.is_none() => Verdict::Bug,
        Step::Recipient | Step::Content | Step::Answer => Verdict::Rejected,
        Step::Data if matches!(reply.code, 500 | 502 | 503) => Verdict::Bug,
        Step::Data => Verdict::Rejected,
    }
}

/// 5xx to MAIL FROM.
fn sender(code: u16, detail: Option<(u16, u16)>) -> Verdict {
    match (code, detail) {
        // Too large, whoever sends it.
        (552, None) | (_, Some((3, 4) | (2, 3))) => Verdict::Rejected,
        // An address that is none, or of a domain that does not exist.
        (_, Some((1, 7 | 8))) => Verdict::Rejected,
        // This account may not send as this sender.
        (_, Some((7, _))) | (553, _) => Verdict::Misconfigured,
        (500 | 502..=504 | 555, _) => Verdict::Bug,
        (_, _) => Verdict::Unknown,
    }
}

/// The account has sent what it may send.
fn is_quota(text: &str, detail: Option<(u16, u16)>) -> bool {
    let words = [
        "daily message quota",
        "sending quota",
        "sending limit exceeded",
        "smtp relay limit",
        "relay limit exceeded",
        "monthly limit",
        "submissionquotaexceeded",
    ];
    // The mailbox that Office 365 keeps a copy of sent mail in.
    let own_mailbox = text.contains("storedrv.submission") && text.contains("quotaexceeded");
    (own_mailbox || words.iter().any(|words| text.contains(words)))
        // "Peak SMTP relay limit" is one per second.
        && !text.contains("peak")
        && !matches!(detail, Some((7, 28)))
}

/// Codes that say so whatever they are in reply to: Gmail's daily limit; Office 365's of recipients, of a tenant's
/// external ones, and of a tenant that has sent too much.
fn is_daily_limit(text: &str, detail: Option<(u16, u16)>) -> bool {
    match detail {
        Some((4, 5)) => ["limit", "quota"].iter().any(|word| text.contains(word)),
        Some((1, 90) | (7, 232 | 233 | 705)) => true,
        Some(_) | None => false,
    }
}

/// The server asks to slow down.
fn is_rate(text: &str, detail: Option<(u16, u16)>) -> bool {
    let words = [
        "throttl",
        "sending rate",
        "rate limit",
        "unusual rate",
        "too quickly",
        "too fast",
        "too many concurrent",
        "too many connections",
        "too many messages",
        "too many login attempts",
        "concurrent connection",
        "sender thread limit",
        "server busy",
        "slow down",
        "peak smtp relay limit",
    ];
    // The recipient receives too fast, not the sender.
    let recipients = text.contains("the user you are trying to contact");
    let told = words.iter().any(|words| text.contains(words)) && !recipients;
    let again = matches!(detail, Some((7, 0))) && text.contains("try again later");
    told || (again && !text.contains("system problem")) || matches!(detail, Some((7, 28 | 500)))
}

/// The server does not let us in: our address, our name in EHLO, our sender. Postfix says so in reply to RCPT TO
/// (`smtpd_delay_reject`); in reply to the content the same words are those of a server behind it.
fn is_door(text: &str, detail: Option<(u16, u16)>) -> bool {
    text.contains("client host")
        || text.contains("helo command rejected")
        || (text.contains("sender address rejected") && matches!(detail, Some((7, _))))
}

/// The account must be mended: who we are, what it may send as, or that it is closed.
fn is_account(code: u16, text: &str, detail: Option<(u16, u16)>) -> bool {
    let words = [
        "authentication required",
        "must be authenticated",
        "not authenticated",
        "must issue a starttls",
        "relay access denied",
        "relaying denied",
        "relay not permitted",
        "relaying not",
        "unable to relay",
        "relaying is not",
        "sendasdenied",
        "send as this sender",
        "allowed to send as",
        "not owned by",
        "sender not authorized",
        "sender is not authorized",
        "not authorized to send",
        "sender address is unauthorized",
        "sender address is not",
        "address is not verified",
        "account is suspended",
        "account has been suspended",
        "account suspended",
        "account is disabled",
        "account has been disabled",
        "account disabled",
        "sending is paused",
        "sending paused",
        // Office 365, of an account that is blocked for spam.
        "bad outbound sender",
    ];
    matches!(code, 530 | 534 | 535 | 538)
        || words.iter().any(|words| text.contains(words))
        // Office 365: send as, no login, login switched off, suspended tenants and senders; RFC 4954's own.
        || matches!(detail, Some((2, 252) | (7, 8 | 9 | 57 | 60 | 139 | 501..=513 | 700..=750)))
}

#[cfg(test)]
mod tests;
