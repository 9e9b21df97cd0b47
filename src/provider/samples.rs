//! Letters for the tests of this station, built by hand.

use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use url::Url;

use super::Letter;
use super::exchange::Answer;
use crate::clock::Timestamp;
use crate::config::{ProviderConfig, ProviderKind, Quota, SmarthostConfig};
use crate::message::{Addressing, Attachment, Email, Envelope, Mailbox, QueueId};
use crate::secret::Secret;

pub(crate) fn mailbox(name: &str, address: &str) -> Mailbox {
    Mailbox { name: name.to_owned(), address: address.to_owned() }
}

pub(crate) fn attachment(filename: &str, content_type: &str, bytes: &[u8]) -> Attachment {
    Attachment {
        filename: filename.to_owned(),
        content_type: content_type.to_owned(),
        bytes: Bytes::copy_from_slice(bytes),
        ..Attachment::default()
    }
}

/// An answer that arrived whole, without header fields.
pub(super) fn answer(status: u16, body: impl Into<Bytes>) -> Answer {
    Answer { status, headers: HeaderMap::new(), body: body.into(), whole: true }
}

/// A configured account of this kind, with keys where the kind needs them.
pub(crate) fn config(kind: ProviderKind) -> ProviderConfig {
    ProviderConfig {
        name: kind.name().to_owned(),
        kind,
        api_key: Secret::new("sk_topsecret_0123456789"),
        base_url: None,
        rate: None,
        daily_quota: Quota::default(),
        monthly_quota: Quota::default(),
        concurrency: NonZeroUsize::MIN,
        timeout: Duration::from_secs(30),
        region: (kind != ProviderKind::Mailgun).then(|| "eu-west-1".to_owned()),
        access_key_id: Some("AKIAIOSFODNN7EXAMPLE".to_owned()),
        secret_access_key: Secret::new("topsecretwJalrXUtnFEMI/K7MDENG"),
        session_token: Secret::default(),
        domain: Some("mg.example.org".to_owned()),
        smarthost: SmarthostConfig::default(),
        url: Some("https://receiver.example/mail".parse().unwrap()),
        secret: Secret::new("whsec_topsecrettopsecrettopsecrettopsecret"),
    }
}

/// The same, reached at this address.
pub(crate) fn config_at(kind: ProviderKind, url: &Url) -> ProviderConfig {
    ProviderConfig { base_url: Some(url.clone()), url: Some(url.clone()), ..config(kind) }
}

/// What a [`Letter`] borrows from.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) id: QueueId,
    pub(crate) received_at: Timestamp,
    pub(crate) envelope: Envelope,
    pub(crate) raw: Vec<u8>,
    pub(crate) email: Email,
    pub(crate) addressing: Addressing,
}

impl Sample {
    /// A text from Ada to Bob.
    pub(crate) fn plain() -> Self {
        let from = mailbox("Ada", "ada@example.org");
        let to = mailbox("Bob", "bob@example.net");
        Self {
            id: "0198c0de-0000-7000-8000-000000000001".parse().unwrap(),
            received_at: "2026-11-21T10:00:00Z".parse().unwrap(),
            envelope: Envelope {
                sender: Some("ada@example.org".parse().unwrap()),
                recipients: vec!["bob@example.net".parse().unwrap()],
                smtp_utf8: false,
                dsn: None,
            },
            raw: b"From: Ada <ada@example.org>\r\nTo: Bob <bob@example.net>\r\n\
                Subject: Tea\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\n\
                Message-ID: <1@example.org>\r\n\r\nFive o'clock?\r\n"
                .to_vec(),
            email: Email {
                from: vec![from],
                to: vec![to.clone()],
                subject: "Tea".to_owned(),
                text: Some("Five o'clock?\r\n".to_owned()),
                headers: vec![("Message-ID".to_owned(), "<1@example.org>".to_owned())],
                ..Email::default()
            },
            addressing: Addressing { to: vec![to], ..Addressing::default() },
        }
    }

    /// Korean names and subject, two bodies, an inline image, a file, Cc and Bcc.
    pub(crate) fn rich() -> Self {
        let mut sample = Self::plain();
        let email = &mut sample.email;
        email.from = vec![mailbox("오라티오, 알림", "notice@oratio.example")];
        email.to = vec![mailbox("김철수", "kim@예시.한국")];
        email.cc = vec![mailbox("Doe; Jane", "jane@example.com")];
        email.reply_to = vec![mailbox("", "help@oratio.example"), mailbox("B", "b@oratio.example")];
        email.subject = "안녕하세요 ☕".to_owned();
        email.text = Some("텍스트\r\n".to_owned());
        email.html = Some("<p>그림 <img src=\"cid:logo@oratio\"></p>".to_owned());
        email.headers.push(("List-Unsubscribe".to_owned(), "<https://x.example/u>".to_owned()));
        email.attachments = vec![
            Attachment {
                content_id: Some("logo@oratio".to_owned()),
                inline: true,
                ..attachment("logo.png", "image/png", b"\x89PNG\r\n\x1a\n")
            },
            attachment("보고서.pdf", "application/pdf", b"%PDF-1.7"),
        ];
        sample.addressing = Addressing {
            to: email.to.clone(),
            cc: email.cc.clone(),
            bcc: vec!["hidden@example.net".parse().unwrap()],
        };
        sample.envelope.recipients = vec![
            "kim@예시.한국".parse().unwrap(),
            "jane@example.com".parse().unwrap(),
            "hidden@example.net".parse().unwrap(),
        ];
        sample
    }

    /// The view that a provider gets.
    pub(crate) fn letter(&self) -> Letter<'_> {
        Letter {
            id: self.id,
            envelope: &self.envelope,
            received_at: self.received_at,
            raw: &self.raw,
            email: &self.email,
            addressing: &self.addressing,
        }
    }
}
