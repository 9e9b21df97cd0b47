//! A relay that has been at work for a day: mail and counters written into its store before it starts.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use mailferry::clock::{Clock as _, SystemClock};
use mailferry::message::{Envelope, IndexFields, Message, QueueId};
use mailferry::queue::{
    Attempt, Entry, Lease, Next, Outcome, RecipientState, RecipientStatus, Sample, Settlement,
    Spread, SqliteStore, Store, Suppression, SuppressionReason,
};

use super::support::fake::{Behaviour, FakeProvider, Service};
use super::support::relay::{Relay, Setup};
use super::support::smtp::{self, Mail};

/// How a message of the past ended.
enum End {
    Delivered(&'static str, u64),
    /// The first provider was out of order; the second took it.
    Second(u64),
    Failed(&'static str),
}

/// Minutes ago, from, to, subject, end.
const MAILS: [(i64, &str, &str, &str, End); 12] = [
    (
        711,
        "Shop <shop@example.org>",
        "minji@rcpt.example",
        "Your order 10418 has been shipped",
        End::Delivered("resend", 212),
    ),
    (
        404,
        "Forum <noreply@example.org>",
        "kim@rcpt.example",
        "새 댓글이 달렸습니다: 가을 모임 안내",
        End::Delivered("resend", 187),
    ),
    (391, "Shop <shop@example.org>", "lucia@rcpt.example", "Invoice 2026-1107", End::Second(640)),
    (
        388,
        "Accounts <accounts@example.org>",
        "yusuf@rcpt.example",
        "Reset your password",
        End::Second(512),
    ),
    (
        254,
        "Forum <noreply@example.org>",
        "ada@rcpt.example",
        "Grace has mentioned you in “Sails and engines”",
        End::Delivered("resend", 240),
    ),
    (
        163,
        "Accounts <accounts@example.org>",
        "jihoon@rcpt.example",
        "이메일 주소를 확인해 주세요",
        End::Delivered("resend", 196),
    ),
    (
        97,
        "Shop <shop@example.org>",
        "olga@rcpt.example",
        "Your order 10431 has been received",
        End::Delivered("resend", 233),
    ),
    (
        41,
        "Accounts <accounts@example.org>",
        "tom@gmial.example",
        "Confirm your address",
        End::Failed("Invalid `to` field. The domain gmial.example does not accept email."),
    ),
    (
        26,
        "Forum <noreply@example.org>",
        "minji@rcpt.example",
        "Weekly digest: 14 new topics",
        End::Delivered("resend", 205),
    ),
    (
        12,
        "Shop <shop@example.org>",
        "henrik@rcpt.example",
        "Refund for order 10397",
        End::Delivered("resend", 221),
    ),
    (
        5,
        "Accounts <accounts@example.org>",
        "seoyeon@rcpt.example",
        "로그인 알림: 새 기기",
        End::Delivered("resend", 189),
    ),
    (
        2,
        "Shop <shop@example.org>",
        "lucia@rcpt.example",
        "Your order 10436 has been shipped",
        End::Delivered("resend", 208),
    ),
];

/// The letter that is looked at most.
pub(crate) const CONFIRM: &str = "Confirm your address, Ada";

/// A relay with a day behind it, its providers, and the ids of the mail that failed and of the newest.
#[derive(Debug)]
pub(crate) struct Past {
    pub(crate) relay: Relay,
    pub(crate) failed: String,
    pub(crate) newest: String,
    _providers: [FakeProvider; 2],
}

impl Past {
    pub(crate) async fn open() -> Self {
        let resend = FakeProvider::resend().await;
        let sendgrid = FakeProvider::start(Service::SendGrid).await;
        let setup = Setup::resend(&resend).and_sendgrid(&sendgrid);
        let setup = setup.set("delivery.retry_min", "1h").set("delivery.retry_max", "1h");
        let failed = write(&setup).await;
        let relay = setup.start().await;
        let newest = smtp::submit(relay.smtp, &confirm()).await;
        relay.http.until_message_is(&newest, "delivered").await;
        resend.then([Behaviour::resend_error(503, "service_unavailable", "Service unavailable")]);
        sendgrid.then([Behaviour::sendgrid_error(503, "The service is busy")]);
        let mail =
            Mail { to: vec!["ada@rcpt.example".into()], ..Mail::about("Reset your password") };
        let waiting = smtp::submit(relay.smtp, &mail).await;
        relay.http.until_attempt_is(&waiting, "temporary").await;
        Self { relay, failed, newest, _providers: [resend, sendgrid] }
    }
}

async fn write(setup: &Setup) -> String {
    let store = SqliteStore::open(&setup.home().join("mailferry.db"), u64::MAX).unwrap();
    let now = SystemClock.now();
    let mut failed = String::new();
    for (minutes, from, to, subject, end) in MAILS {
        let at = now - SignedDuration::from_mins(minutes);
        let message = Arc::new(message(at, from, to, subject));
        let lease = Lease { owner: Arc::from("past"), expires: at + SignedDuration::from_mins(1) };
        store.insert(Entry::held(Arc::clone(&message), lease)).await.unwrap();
        if matches!(end, End::Failed(_)) {
            failed = message.id.to_string();
        }
        store.settle(settlement(&message, at, &end)).await.unwrap();
    }
    store.statistics().add(counters(now)).await.unwrap();
    let gone = Suppression {
        address: "former.customer@rcpt.example".parse().unwrap(),
        reason: SuppressionReason::Manual,
        note: Some("wrote that she wants no mail".to_owned()),
        since: now - SignedDuration::from_hours(30),
    };
    store.suppressions().add(gone).await.unwrap();
    store.close().await;
    failed
}

fn message(at: Timestamp, from: &str, to: &str, subject: &str) -> Message {
    let id = QueueId::new(at);
    let raw = format!(
        "From: {from}\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: <{id}@example.org>\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nHello,\r\n\r\n{subject}.\r\n"
    );
    let raw = Bytes::from(raw);
    let sender = from.split(['<', '>']).nth(1).unwrap();
    Message {
        id,
        received_at: at,
        envelope: Envelope {
            sender: Some(sender.parse().unwrap()),
            recipients: vec![to.parse().unwrap()],
            smtp_utf8: false,
            dsn: None,
        },
        index: IndexFields::read(&raw),
        raw,
        user: None,
        account: None,
        may_steer: true,
    }
}

fn settlement(message: &Message, at: Timestamp, end: &End) -> Settlement {
    let call =
        |provider: &str, outcome, error: Option<&str>, latency_ms, id: Option<String>| Attempt {
            at,
            provider: provider.to_owned(),
            outcome,
            error: error.map(str::to_owned),
            provider_message_id: id,
            latency_ms,
            recipients: Vec::new(),
            together: Some(1),
            losses: Vec::new(),
        };
    let id = || Some(format!("{:x}", message.received_at.as_millisecond()));
    let (attempts, state, next) = match end {
        End::Delivered(provider, latency) => {
            let calls = vec![call(provider, Outcome::Delivered, None, *latency, id())];
            (calls, RecipientState::Delivered, Next::Delivered)
        }
        End::Second(latency) => {
            let calls = vec![
                call("resend", Outcome::Temporary, Some("Service unavailable"), 1_204, None),
                call("sendgrid", Outcome::Delivered, None, *latency, id()),
            ];
            (calls, RecipientState::Delivered, Next::Delivered)
        }
        End::Failed(words) => {
            let calls = vec![call("resend", Outcome::Rejected, Some(words), 164, None)];
            (calls, RecipientState::Failed, Next::Failed { error: (*words).to_owned() })
        }
    };
    let reason = match end {
        End::Failed(words) => Some((*words).to_owned()),
        End::Delivered(..) | End::Second(_) => None,
    };
    let address = message.envelope.recipients[0].clone();
    Settlement {
        id: message.id,
        lease: 1,
        attempts,
        recipients: vec![RecipientStatus { state, reason, ..RecipientStatus::queued(address) }],
        next,
        at,
        unclear: false,
        suspect: None,
        way: None,
        usage: Vec::new(),
    }
}

/// A day as a small shop has it: little at night, a peak at noon, and half an hour in which the first provider was away.
fn counters(now: Timestamp) -> Vec<Sample> {
    let mut random = fastrand::Rng::with_seed(42);
    let mut samples = Vec::new();
    for minute in (1..24 * 60_i64).rev() {
        let at = now.as_second() - minute * 60;
        let hour = f64::from(i32::try_from(at.rem_euclid(86_400) / 60).unwrap()) / 60.0;
        let busy = 1.2 + ((hour - 6.0) / 24.0 * std::f64::consts::TAU).sin();
        let received = (0..4).filter(|_| random.f64() * 2.6 < busy).count() as u64;
        let away = (380..410).contains(&minute);
        let (mut whole, mut first, mut second) =
            (sample(at, ""), sample(at, "resend"), sample(at, "sendgrid"));
        whole.received = received;
        for _ in 0..received {
            let latency = 150 + random.u64(0..120);
            whole.latency.add(if away { latency + 1_400 } else { latency + 20 });
            whole.delivered += 1;
            let by = if away { &mut second } else { &mut first };
            by.delivered += 1;
            by.attempts = vec![(Outcome::Delivered, by.delivered)];
            by.latency.add(latency);
        }
        if away && received > 0 {
            first.attempts = vec![(Outcome::Temporary, 1)];
            first.latency.add(1_200);
        }
        if minute == 41 {
            whole.failed = 1;
            first.failed = 1;
        }
        samples.extend([whole, first, second]);
    }
    samples
}

fn sample(at: i64, provider: &str) -> Sample {
    Sample { at, provider: provider.to_owned(), latency: Spread::default(), ..Sample::default() }
}

/// A letter that looks like one.
pub(crate) fn confirm() -> Mail {
    let mut data = format!(
        "From: Harbour Shop <shop@example.org>\r\nTo: Ada Lovelace <ada@rcpt.example>\r\nSubject: {CONFIRM}\r\n\
         Message-ID: <confirm-ada@example.org>\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/alternative; boundary=forms\r\n\r\n"
    );
    // Writing to a String does not fail.
    let _ = write!(
        data,
        "--forms\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nWelcome aboard, Ada.\r\n\
         https://example.org/confirm?token=4f1c\r\n\
         --forms\r\nContent-Type: text/html; charset=utf-8\r\n\r\n\
         <div style=\"max-width:520px;margin:24px auto;font-family:sans-serif;color:#1c2733\">\r\n\
         <div style=\"background:#0b5c7a;color:#fff;padding:18px 24px;border-radius:8px 8px 0 0;font-size:20px\">Harbour Shop</div>\r\n\
         <div style=\"border:1px solid #d5dde3;border-top:0;padding:24px;border-radius:0 0 8px 8px\">\r\n\
         <h1 style=\"font-size:22px;margin:0 0 12px\">Welcome aboard, Ada</h1>\r\n\
         <p>Please confirm that this address is yours, and your first order can leave the harbour.</p>\r\n\
         <p><a href=\"https://example.org/confirm?token=4f1c\" style=\"display:inline-block;background:#0b5c7a;color:#fff;\
         padding:10px 18px;border-radius:6px;text-decoration:none\">Confirm address</a></p>\r\n\
         <p style=\"color:#5a6b78;font-size:13px\">Nobody ordered? Then just forget this letter.</p></div></div>\r\n\
         --forms--"
    );
    Mail { from: "shop@example.org".to_owned(), to: vec!["ada@rcpt.example".to_owned()], data }
}
