//! Any octets as a message, to any of its recipients and to hidden ones, through every provider: a call that is what it
//! must be, or a reason why not. The first four octets choose who gets it and by which rules; the rest is the message.

#![no_main]

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use mailferry::clock::SystemClock;
use mailferry::config::{ProviderConfig, ProviderKind, Quota, Rewrite, SenderConfig, SmarthostConfig};
use mailferry::message::{Address, Addressing, Email, Envelope};
use mailferry::provider::{Call, Form, HttpClient, Letter, Provider, Unfit, build};
use mailferry::secret::Secret;

use self::carried::{Carried, carried};

#[path = "../../tests/support/carried.rs"]
mod carried;

fuzz_target!(|input: &[u8]| {
    let Some(([low, high, hidden, switches], raw)) = input.split_first_chunk() else { return };
    // Over SMTP every line end becomes CRLF; a message by BINARYMIME or from the HTTP API keeps its own.
    let raw = if switches & 1 == 0 { with_crlf(raw) } else { raw.to_vec() };
    let mut email = Email::parse(&raw);
    assert_eq!(email, Email::parse(&raw), "parsed the same each time");
    let envelope = envelope(&email, u16::from_le_bytes([*low, *high]), *hidden);
    email.apply_sender_rules(&rules(*switches), &envelope);
    if switches & 2 == 0 {
        email.options.clear();
    }
    for (kind, provider) in providers() {
        let letters = Letters { raw: &raw, email: &email, envelope: &envelope };
        let Ok(calls) = letters.calls(&**provider) else { continue };
        assert_eq!(Ok(&calls), letters.calls(&**provider).as_ref(), "{kind}: the same each time");
        judge(*kind, &letters, &calls);
    }
});

struct Letters<'a> {
    raw: &'a [u8],
    email: &'a Email,
    envelope: &'a Envelope,
}

impl Letters<'_> {
    fn calls(&self, provider: &dyn Provider) -> Result<Vec<Call>, Unfit> {
        let capabilities = provider.capabilities();
        let calls = Addressing::split(
            self.email,
            &self.envelope.recipients,
            capabilities.recipients_per_call,
            capabilities.form == Form::Structured,
        );
        let prepare = |addressing: &Addressing| {
            provider.prepare(&Letter {
                id: "0198c0de-0000-7000-8000-000000000001".parse().expect("an id"),
                envelope: self.envelope,
                received_at: "2026-11-21T10:00:00Z".parse().expect("a time"),
                raw: self.raw,
                email: self.email,
                addressing,
            })
        };
        calls.iter().map(prepare).collect()
    }
}

fn judge(kind: ProviderKind, letters: &Letters<'_>, calls: &[Call]) {
    // SendGrid takes an address once, whatever the case of its local part.
    let same = |address: &str| {
        let key = key(address);
        if kind == ProviderKind::SendGrid { key.to_lowercase() } else { key }
    };
    let mut served = BTreeSet::new();
    for call in calls {
        for carried in carried(kind, call) {
            assert!(!carried.recipients.is_empty(), "{kind}: a call for nobody");
            let bound = 12 * letters.raw.len() + 65_536 + 400 * carried.recipients.len();
            assert!(call.body.len() <= bound, "{kind}: {} octets", call.body.len());
            for recipient in &carried.recipients {
                assert!(served.insert(key(recipient)), "{kind}: {recipient} gets it twice");
            }
            shows_the_header_only(kind, letters.email, &carried);
            if let Some(mime) = &carried.mime {
                is_the_message(kind, letters, mime);
            }
        }
        for loss in &call.losses {
            assert!(!loss.what.is_empty() && !loss.why.is_empty(), "{kind}: {loss:?}");
        }
    }
    if kind == ProviderKind::Capture {
        return;
    }
    let served: BTreeSet<_> = served.iter().map(|key| same(key)).collect();
    let recipients = letters.envelope.recipients.iter();
    let wanted: BTreeSet<_> = recipients.map(|address| same(address.as_str())).collect();
    assert_eq!(served, wanted, "{kind}: everybody of the envelope, and nobody else");
}

/// Who stands alone in a call may read their own address.
fn shows_the_header_only(kind: ProviderKind, email: &Email, carried: &Carried) {
    let header = || email.to.iter().chain(&email.cc);
    for shown in &carried.shown {
        let known = header().any(|mailbox| key(&mailbox.address) == key(shown));
        assert!(known || carried.recipients.len() == 1, "{kind}: {shown} is not in the header");
        assert!(!shown.contains(char::is_control), "{kind}: {shown:?}");
    }
}

/// The MIME of a raw provider: no hidden recipients, no line that nobody wrote, and the same content.
fn is_the_message(kind: ProviderKind, letters: &Letters<'_>, mime: &[u8]) {
    for name in field_names(mime) {
        assert!(!["bcc", "resent-bcc", "return-path"].contains(&name.as_str()), "{kind}: {name}");
    }
    // New lines end as those of the message do.
    let bare_before = bare(letters.raw) > 0;
    assert!(bare_before || bare(mime) == 0, "{kind}: a bare CR or LF that nobody wrote");
    if bare_before {
        // Where CR and LF are data, parts are binary and are written anew as such.
        return;
    }
    let read = Email::parse(mime);
    let email = letters.email;
    // A byte order mark may get lost where text is written anew.
    let text = |text: &str| text.replace('\u{FEFF}', "");
    let body = |it: &Option<String>| it.as_deref().map(text);
    let words = |it: &str| text(it).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words(&read.subject), words(&email.subject), "{kind}");
    assert_eq!(body(&read.text), body(&email.text), "{kind}");
    assert_eq!(body(&read.html), body(&email.html), "{kind}");
    let with_messages = email.attachments.iter().any(|it| it.content_type.starts_with("message/"));
    if !with_messages {
        // A 7-bit way may write a message within the message anew.
        let octets =
            |email: &Email| email.attachments.iter().map(|it| it.bytes.clone()).collect::<Vec<_>>();
        assert_eq!(octets(&read), octets(email), "{kind}");
    }
    if std::str::from_utf8(letters.raw).is_ok() {
        // Names and parameters in octets of another charset come out as replacement characters.
        assert_eq!(names(&read), names(email), "{kind}");
    }
}

/// The names of the files. One that was made up follows the type, which is guessed where the message says none that can be
/// read; so neither is compared here. For messages that say it, tests/contract/arrival.rs does.
fn names(email: &Email) -> Vec<&str> {
    let names = email.attachments.iter().map(|it| &*it.filename);
    names.map(|name| if name.starts_with("attachment-") { "" } else { name }).collect()
}

/// The names of the header fields in lower case, as the next server on the way reads them.
fn field_names(mime: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    for line in mime.split(|octet| *octet == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        if let Some(colon) = line.iter().position(|octet| *octet == b':') {
            let name = line[..colon].trim_ascii_end();
            names.push(String::from_utf8_lossy(name).to_ascii_lowercase());
        }
    }
    names
}

/// How many CR and LF are no CRLF.
fn bare(text: &[u8]) -> usize {
    let ends = text.iter().filter(|octet| b"\r\n".contains(octet)).count();
    ends - 2 * text.windows(2).filter(|two| two == b"\r\n").count()
}

fn with_crlf(raw: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(raw.len());
    let mut octets = raw.iter().peekable();
    while let Some(octet) = octets.next() {
        match octet {
            b'\r' => {
                octets.next_if_eq(&&b'\n');
                text.extend_from_slice(b"\r\n");
            }
            b'\n' => text.extend_from_slice(b"\r\n"),
            other => text.push(*other),
        }
    }
    text
}

/// A spelling that all spellings of a mailbox share.
fn key(address: &str) -> String {
    let Ok(address) = address.parse::<Address>() else { return address.to_owned() };
    let local = address.local_part();
    let bare = local.strip_prefix('"').and_then(|local| local.strip_suffix('"'));
    let local = bare.filter(|it| format!("{it}@x").parse::<Address>().is_ok()).unwrap_or(local);
    let domain = address.domain();
    let domain = idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_lowercase());
    format!("{local}@{domain}")
}

/// Some of those whom the header shows, and hidden ones.
fn envelope(email: &Email, mask: u16, hidden: u8) -> Envelope {
    let shown = email.to.iter().chain(&email.cc).filter_map(|it| it.address.parse().ok());
    let chosen = shown.enumerate().filter(|(number, _)| mask >> (number % 16) & 1 == 1);
    let mut recipients: Vec<Address> = chosen.map(|(_, address)| address).collect();
    let hidden = (0..hidden % 64).map(|n| format!("hidden{n}@hidden.example"));
    recipients.extend(hidden.map(|it| it.parse::<Address>().expect("an address")));
    if recipients.is_empty() {
        recipients.push("bob@example.net".parse().expect("an address"));
    }
    let sender = Some("bounce@example.org".parse().expect("an address"));
    Envelope { sender, recipients, smtp_utf8: true, dsn: None }
}

fn rules(switches: u8) -> SenderConfig {
    SenderConfig {
        address: Some("noreply@example.org".parse().expect("an address")),
        name: "Relay".to_owned(),
        domains: Vec::new(),
        rewrite: match switches >> 2 & 3 {
            0 => Rewrite::Missing,
            1 => Rewrite::Foreign,
            2 => Rewrite::Always,
            _ => Rewrite::Never,
        },
    }
}

/// Every kind that this version has.
fn providers() -> &'static [(ProviderKind, Arc<dyn Provider>)] {
    static ALL: OnceLock<Vec<(ProviderKind, Arc<dyn Provider>)>> = OnceLock::new();
    ALL.get_or_init(|| {
        let client = HttpClient::new().expect("a client");
        let made = |kind| {
            let provider = build(&config(kind), &client, Arc::new(SystemClock));
            provider.ok().map(|provider| (kind, provider))
        };
        ProviderKind::ALL.into_iter().filter_map(made).collect()
    })
}

fn config(kind: ProviderKind) -> ProviderConfig {
    ProviderConfig {
        name: kind.name().to_owned(),
        kind,
        api_key: Secret::new("key"),
        base_url: None,
        rate: None,
        daily_quota: Quota::default(),
        monthly_quota: Quota::default(),
        concurrency: NonZeroUsize::MIN,
        timeout: Duration::from_secs(60),
        region: Some("eu-west-1".to_owned()),
        access_key_id: Some("AKIAIOSFODNN7EXAMPLE".to_owned()),
        secret_access_key: Secret::new("secret"),
        session_token: Secret::default(),
        domain: Some("mg.example.org".to_owned()),
        smarthost: SmarthostConfig {
            host: Some("127.0.0.1".to_owned()),
            ..SmarthostConfig::default()
        },
        url: Some("http://127.0.0.1:9/".parse().expect("a URL")),
        secret: Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    }
}
