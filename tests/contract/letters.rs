//! Messages that between them use every field of every provider.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mailferry::clock::Timestamp;
use mailferry::message::{
    Address, Addressing, Attachment, Email, Envelope, Loss, Mailbox, QueueId,
};
use mailferry::provider::Letter;
use serde_json::{Value, json};

/// What a [`Letter`] borrows from.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) id: QueueId,
    received_at: Timestamp,
    envelope: Envelope,
    pub(crate) raw: Vec<u8>,
    pub(crate) email: Email,
    pub(crate) addressing: Addressing,
}

fn mailbox(name: &str, address: &str) -> Mailbox {
    Mailbox { name: name.to_owned(), address: address.to_owned() }
}

fn file(filename: &str, content_type: &str, bytes: &'static [u8]) -> Attachment {
    Attachment {
        filename: filename.to_owned(),
        content_type: content_type.to_owned(),
        bytes: Bytes::from_static(bytes),
        ..Attachment::default()
    }
}

fn headers(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

impl Sample {
    fn new(name: &'static str, change: impl FnOnce(&mut Self)) -> Self {
        let to = mailbox("Bob", "bob@example.net");
        let mut sample = Self {
            name,
            id: "0198c0de-0000-7000-8000-000000000001".parse().unwrap(),
            received_at: "2026-11-21T10:00:00Z".parse().unwrap(),
            envelope: Envelope::default(),
            raw: b"From: Ada <ada@example.org>\r\nTo: Bob <bob@example.net>\r\nSubject: Tea\r\n\
                Message-ID: <1@example.org>\r\nMIME-Version: 1.0\r\n\
                Content-Type: text/plain; charset=utf-8\r\n\r\nFive o'clock?\r\n"
                .to_vec(),
            email: Email {
                from: vec![mailbox("Ada", "ada@example.org")],
                to: vec![to.clone()],
                subject: "Tea".to_owned(),
                text: Some("Five o'clock?\r\n".to_owned()),
                headers: headers(&[("Message-ID", "<1@example.org>")]),
                ..Email::default()
            },
            addressing: Addressing { to: vec![to], ..Addressing::default() },
        };
        change(&mut sample);
        let all: Vec<Address> =
            sample.addressing.recipients().map(|address| address.parse().unwrap()).collect();
        sample.envelope.sender = Some("ada@example.org".parse().unwrap());
        sample.envelope.recipients = all;
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

    /// The message in plain words, for the scripts that hand it to an SDK.
    pub(crate) fn neutral(&self) -> Value {
        let person = |mailbox: &Mailbox| json!({"name": mailbox.name, "address": mailbox.address});
        let people = |mailboxes: &[Mailbox]| mailboxes.iter().map(person).collect::<Vec<_>>();
        let hidden: Vec<_> = self
            .addressing
            .bcc
            .iter()
            .map(|address| json!({"name": "", "address": address.as_str()}))
            .collect();
        let files: Vec<_> = self
            .email
            .attachments
            .iter()
            .map(|file| {
                json!({
                    "filename": file.filename,
                    "content_type": file.content_type,
                    "content": STANDARD.encode(&file.bytes),
                    "content_id": file.content_id,
                    "inline": file.inline,
                })
            })
            .collect();
        json!({
            "id": self.id.to_string(),
            "from": person(&self.email.from[0]),
            "to": people(&self.addressing.to),
            "cc": people(&self.addressing.cc),
            "bcc": hidden,
            "reply_to": people(&self.email.reply_to),
            "subject": self.email.subject,
            "text": self.email.text,
            "html": self.email.html,
            "headers": self.email.headers,
            "attachments": files,
            "raw": STANDARD.encode(&self.raw),
        })
    }
}

/// Messages that every provider carries without loss.
pub(crate) fn faithful() -> Vec<Sample> {
    vec![
        Sample::new("plain", |_| ()),
        Sample::new("two bodies in Korean", |sample| {
            let email = &mut sample.email;
            email.from = vec![mailbox("오라티오 알림", "notice@oratio.example")];
            email.subject = "안녕하세요 ☕ 주문이 접수되었습니다".to_owned();
            email.text = Some("텍스트\r\n두 번째 줄\r\n".to_owned());
            email.html = Some("<p>\"그림\" &amp; 글 \u{1F600}</p>".to_owned());
            sample.addressing.to = vec![mailbox("김철수", "kim@example.net")];
            email.to.clone_from(&sample.addressing.to);
        }),
        Sample::new("html alone", |sample| {
            sample.email.text = None;
            sample.email.html = Some("<p>x</p>".to_owned());
        }),
        Sample::new("copies, hidden copies and a reply address", |sample| {
            sample.addressing.to.push(mailbox("", "second@example.net"));
            sample.addressing.cc = vec![mailbox("Jane Q Doe", "jane@example.com")];
            sample.addressing.bcc = vec!["hidden@example.net".parse().unwrap()];
            sample.email.to.clone_from(&sample.addressing.to);
            sample.email.cc.clone_from(&sample.addressing.cc);
            sample.email.reply_to = vec![mailbox("Help Desk", "help@example.org")];
        }),
        Sample::new("two reply addresses", |sample| {
            sample.email.reply_to =
                vec![mailbox("", "a@example.org"), mailbox("B", "b@example.org")];
        }),
        Sample::new("threading and list headers", |sample| {
            sample.email.headers = headers(&[
                ("Message-ID", "<2@example.org>"),
                ("In-Reply-To", "<1@example.org>"),
                ("References", "<0@example.org> <1@example.org>"),
                ("Date", "Sat, 21 Nov 2026 10:00:00 +0000"),
                ("List-Unsubscribe", "<https://example.org/u>, <mailto:u@example.org>"),
                ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
                ("Auto-Submitted", "auto-generated"),
                ("Precedence", "bulk"),
                ("X-Note", "한국어"),
            ]);
        }),
        Sample::new("an inline image, a Korean file name, an invitation", |sample| {
            sample.email.html = Some("<img src=\"cid:logo@oratio\">".to_owned());
            sample.email.attachments = vec![
                Attachment {
                    content_id: Some("logo@oratio".to_owned()),
                    inline: true,
                    ..file("logo.png", "image/png", b"\x89PNG\r\n\x1a\n\0\xff")
                },
                file("보고서 2026.pdf", "application/pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3"),
                file("invite.ics", "text/calendar; method=REQUEST", b"BEGIN:VCALENDAR\r\n"),
                file("blob", "application/x-own-format", b"\0"),
            ];
        }),
    ]
}

/// Messages that some provider carries with a loss, or in another shape.
pub(crate) fn awkward() -> Vec<Sample> {
    vec![
        Sample::new("nothing but recipients", |sample| {
            sample.email.subject.clear();
            sample.email.text = None;
            sample.email.headers.clear();
        }),
        Sample::new("empty bodies", |sample| {
            sample.email.text = Some(String::new());
            sample.email.html = Some(String::new());
        }),
        Sample::new("hidden recipient alone", |sample| {
            sample.addressing.to.clear();
            sample.addressing.bcc = vec!["hidden@example.net".parse().unwrap()];
        }),
        Sample::new("copy alone", |sample| {
            sample.addressing.to.clear();
            sample.addressing.cc = vec![mailbox("", "c@example.net"), mailbox("", "d@example.net")];
        }),
        Sample::new("the same address three times", |sample| {
            sample.addressing.cc = vec![mailbox("Bob again", "BOB@example.net")];
            sample.addressing.bcc = vec!["bob@EXAMPLE.net".parse().unwrap()];
            sample.email.reply_to =
                vec![mailbox("", "r@example.org"), mailbox("", "R@example.org")];
        }),
        Sample::new("names and domains that need care", |sample| {
            sample.email.from = vec![mailbox("Doe, \"J\" \\ (Sales); Ltd.", "j@예시.한국")];
            sample.email.sender = Some(mailbox("봇", "bot@example.org"));
            sample.addressing.to =
                vec![mailbox("a;b,c", "kim@예시.한국"), mailbox("x\r\ny", "\"a b\"@example.net")];
        }),
        Sample::new("headers that may not travel", |sample| {
            sample.email.headers = headers(&[
                ("Received", "by us"),
                ("x-sg-eid", "1"),
                ("X-SMTPAPI", "{}"),
                ("X-SES-CONFIGURATION-SET", "x"),
                ("X-Tag", "a"),
                ("x-tag", "b"),
                ("Bad Name", "x"),
                ("X-Number", "12"),
            ]);
        }),
        Sample::new("files that need care", |sample| {
            sample.email.attachments = vec![
                file("empty.txt", "text/plain", b""),
                file("data.txt", "text/csv", b"a,b"),
                file("photo", "image/jpeg", b"\xff\xd8"),
                file("a.pdf", "", b"x"),
                file("amp.html", "text/x-amp-html", b"<html amp4email></html>"),
                Attachment { inline: true, ..file("x.png", "image/png", b"x") },
            ];
        }),
        Sample::new("fifty recipients", |sample| {
            let many = |n: usize| format!("r{n}@example.org").parse().unwrap();
            sample.addressing.bcc = (1..50).map(many).collect();
            sample.email.losses =
                vec![Loss { what: "part 9".to_owned(), why: "too deep".to_owned() }];
        }),
    ]
}
