//! Messages that between them use every field of every provider, and their way from bytes to the calls.

mod awkward;
mod faithful;
mod steered;

pub(crate) use awkward::{NOTHING_ADDED_YET, awkward};
pub(crate) use faithful::{faithful, whole};
pub(crate) use steered::{TO_SES, steered};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mailferry::clock::Timestamp;
use mailferry::config::SenderConfig;
use mailferry::message::{Address, Addressing, Email, Envelope, QueueId};
use mailferry::provider::{Call, Form, Letter, Provider, Unfit};
use serde_json::{Value, json};

/// The recipient of every message of tests/mail whom no header shows.
pub(crate) const HIDDEN: &str = "hidden@hidden.example";

/// A message as it was accepted, and as delivery reads it.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) id: QueueId,
    pub(crate) received_at: Timestamp,
    pub(crate) envelope: Envelope,
    pub(crate) raw: Vec<u8>,
    pub(crate) email: Email,
}

impl Sample {
    /// A message from Ada with this envelope, from a text with LF line ends.
    fn new(name: &str, recipients: &[&str], text: &str) -> Self {
        let recipients = recipients.iter().map(|it| it.parse().unwrap()).collect();
        let sender = "ada@example.org".parse().unwrap();
        Self::accepted(name, sender, recipients, text.replace('\n', "\r\n").into_bytes())
    }

    fn accepted(name: &str, sender: Address, recipients: Vec<Address>, raw: Vec<u8>) -> Self {
        let smtp_utf8 = recipients.iter().any(|it| !it.as_str().is_ascii());
        let envelope = Envelope { sender: Some(sender), recipients, smtp_utf8, dsn: None };
        let mut email = Email::parse(&raw);
        email.apply_sender_rules(&SenderConfig::default(), &envelope);
        Self {
            name: name.to_owned(),
            id: "0198c0de-0000-7000-8000-000000000001".parse().unwrap(),
            received_at: "2026-11-21T10:00:00Z".parse().unwrap(),
            envelope,
            raw,
            email,
        }
    }

    /// The calls in which this provider would deliver it.
    pub(crate) fn calls(&self, provider: &dyn Provider) -> Result<Vec<Call>, Unfit> {
        let capabilities = provider.capabilities();
        let calls = Addressing::split(
            &self.email,
            &self.envelope.recipients,
            capabilities.recipients_per_call,
            capabilities.form == Form::Structured,
        );
        let prepare = |addressing: &Addressing| {
            let letter = Letter {
                id: self.id,
                envelope: &self.envelope,
                received_at: self.received_at,
                raw: &self.raw,
                email: &self.email,
                addressing,
            };
            provider.prepare(&letter)
        };
        calls.iter().map(prepare).collect()
    }

    /// Its only call.
    pub(crate) fn call(&self, provider: &dyn Provider) -> Call {
        let mut calls = self.calls(provider).unwrap();
        assert_eq!(calls.len(), 1, "{}", self.name);
        calls.remove(0)
    }

    /// The message for the scripts that read it on their own and hand it to an SDK.
    pub(crate) fn for_oracle(&self) -> Value {
        json!({
            "id": self.id.to_string(),
            "recipients": self.envelope.recipients,
            "raw": STANDARD.encode(&self.raw),
        })
    }
}

/// A message with every order that Mailgun's SMTP server takes.
pub(crate) fn orders_to_mailgun() -> Sample {
    let text = "\
From: Ada <ada@example.org>
To: Bob <bob@example.net>
Subject: Tea
X-Mailgun-Tag: welcome
X-Mailgun-Tag: second
X-Mailgun-Dkim: yes
X-Mailgun-Secondary-DKIM: example.com,s1
X-Mailgun-Secondary-DKIM-Public: public.example.com/s1
X-Mailgun-Deliver-By: Sat, 21 Nov 2026 12:00:00 +0000
X-Mailgun-Deliver-Within: 1h30m
X-Mailgun-Delivery-Time-Optimize-Period: 24h
X-Mailgun-Time-Zone-Localize: 14:30
X-Mailgun-Drop-Message: yes
X-Mailgun-Track: Yes
X-Mailgun-Track-Clicks: htmlonly
X-Mailgun-Track-Opens: no
X-Mailgun-Track-Pixel-Location-Top: true
X-Mailgun-Require-TLS: True
X-Mailgun-Skip-Verification: false
X-Mailgun-Sending-Ip: 192.0.2.1
X-Mailgun-Sending-Ip-Pool: pool-1
X-Mailgun-Archive-To: https://archive.example/mail
X-Mailgun-Suppress-Headers: all
X-Mailgun-Template-Name: welcome
X-Mailgun-Template-Version: v2
X-Mailgun-Template-Variables: {\"name\": \"Bob\"}
X-Mailgun-Variables: {\"user\": 7, \"plan\": \"free\"}
X-Mailgun-Recipient-Variables: {\"bob@example.net\": {\"id\": 1}}

Five o'clock?
";
    Sample::new("orders", &["bob@example.net"], text)
}

/// Every message of tests/mail, to everybody in its To and Cc and to one more.
pub(crate) fn corpus() -> Vec<Sample> {
    let folder = format!("{}/tests/mail", env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "eml"));
    paths.sort();
    let read = |path: std::path::PathBuf| {
        let raw = std::fs::read(&path).unwrap();
        let email = Email::parse(&raw);
        let address = |text: &str| text.parse::<Address>().ok();
        let shown = email.to.iter().chain(&email.cc);
        let mut recipients: Vec<Address> =
            shown.filter_map(|mailbox| address(&mailbox.address)).collect();
        recipients.push(HIDDEN.parse().unwrap());
        let sender = email.from.first().and_then(|from| address(&from.address));
        let sender = sender.unwrap_or_else(|| "www-data@example.org".parse().unwrap());
        Sample::accepted(path.file_name().unwrap().to_str().unwrap(), sender, recipients, raw)
    };
    let samples: Vec<_> = paths.into_iter().map(read).collect();
    assert!(samples.len() >= 27);
    samples
}
