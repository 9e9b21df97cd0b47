//! Relays with something to look at.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::support::fake::{Behaviour, FakeProvider, Service};
use super::support::letter;
use super::support::relay::{Relay, Setup};
use super::support::smtp::{self, Mail};

/// Two providers and mail in every state.
#[derive(Debug)]
pub(crate) struct Office {
    pub(crate) resend: FakeProvider,
    pub(crate) sendgrid: FakeProvider,
    pub(crate) relay: Relay,
    /// Text, page, image and file, delivered.
    pub(crate) welcome: String,
    /// Refused by the first provider in words of its own.
    pub(crate) failed: String,
    /// Waits: nobody takes mail now.
    pub(crate) queued: String,
}

/// What the first provider says to the message that fails.
pub(crate) const REFUSAL: &str = "The `to` field must be a valid address";

impl Office {
    pub(crate) async fn open() -> Self {
        Self::open_with(|setup| setup, None).await
    }

    /// The same behind a token.
    pub(crate) async fn locked(token: &str) -> Self {
        Self::open_with(|setup| setup.set("http.token", token), Some(token)).await
    }

    async fn open_with(change: impl Fn(Setup) -> Setup, token: Option<&str>) -> Self {
        let resend = FakeProvider::resend().await;
        let sendgrid = FakeProvider::start(Service::SendGrid).await;
        let setup = Setup::resend(&resend).and_sendgrid(&sendgrid);
        // What waits shall wait while it is looked at.
        let setup = setup.set("delivery.retry_min", "1h").set("delivery.retry_max", "1h");
        let mut relay = change(setup).start().await;
        if let Some(token) = token {
            relay.http = relay.http.with_token(token);
        }
        let api = &relay.http;

        let welcome = smtp::submit(relay.smtp, &welcome()).await;
        api.until_message_is(&welcome, "delivered").await;
        for (number, subject) in SUBJECTS.iter().enumerate() {
            let mut mail = Mail::about(subject);
            mail.data = mail.data.replace("Message-ID: <", &format!("Message-ID: <{number}-"));
            let id = smtp::submit(relay.smtp, &mail).await;
            api.until_message_is(&id, "delivered").await;
        }
        resend.then([Behaviour::resend_error(422, "invalid_parameter", REFUSAL)]);
        let mail = Mail::about("Your invoice of November");
        let failed = smtp::submit(relay.smtp, &mail).await;
        api.until_message_is(&failed, "failed").await;

        let busy = Behaviour::resend_error(503, "service_unavailable", "come back tomorrow");
        resend.then([busy]);
        let queued = smtp::submit(relay.smtp, &Mail::about("Password reset")).await;
        api.until_attempt_is(&queued, "temporary").await;
        Self { resend, sendgrid, relay, welcome, failed, queued }
    }
}

/// Things that a list has to bear.
const SUBJECTS: [&str; 4] = [
    "",
    "A_subject_of_one_word_that_does_not_end_soon_and_has_nowhere_to_be_broken_at_all_by_anybody_whoever_looks",
    "=?utf-8?b?7KO866y4IO2ZleyduDog7YWM7Iqk7Yq4IOyDge2SiCAx6rCc66W8IOuztOuCtOuTnOuguOyKteuLiOuLpA==?=",
    "<b>not bold</b> & \"quoted\"",
];

/// The mail that tests look at most: in two forms, with an image in it and a file beside it.
pub(crate) fn welcome() -> Mail {
    let base64 = |bytes: &[u8]| {
        let text = STANDARD.encode(bytes);
        let lines =
            text.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into_owned());
        lines.collect::<Vec<_>>().join("\r\n")
    };
    let mut data = format!(
        "From: =?utf-8?b?{}?= <{}>\r\nTo: Ada <ada@rcpt.example>\r\nSubject: =?utf-8?b?{}?=\r\n\
         Message-ID: <welcome@sender.example>\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=mixed\r\n\r\n",
        STANDARD.encode(letter::FROM_NAME),
        letter::FROM,
        STANDARD.encode("환영합니다 — welcome"),
    );
    // Writing to a String does not fail.
    let _ = write!(
        data,
        "--mixed\r\nContent-Type: multipart/related; boundary=related\r\n\r\n\
         --related\r\nContent-Type: multipart/alternative; boundary=forms\r\n\r\n\
         --forms\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nThe plain text of it.\r\n\
         https://sender.example/verify?token=abc\r\n\
         --forms\r\nContent-Type: text/html; charset=utf-8\r\n\r\n\
         <h1 id=\"greeting\">Welcome, Ada</h1>\r\n\
         <p><a href=\"https://sender.example/verify?token=abc\">Confirm your address</a></p>\r\n\
         <img id=\"inline\" src=\"cid:logo@sender.example\" alt=\"logo\" width=\"8\" height=\"8\">\r\n\
         <img id=\"remote\" src=\"http://remote.example/pixel\" alt=\"pixel\">\r\n\
         --forms--\r\n\
         --related\r\nContent-Type: image/png; name=logo.png\r\nContent-ID: <logo@sender.example>\r\n\
         Content-Disposition: inline; filename=logo.png\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n\
         --related--\r\n\
         --mixed\r\nContent-Type: application/pdf; name=report.pdf\r\n\
         Content-Disposition: attachment; filename=report.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n\
         --mixed--",
        base64(&letter::image_bytes()),
        base64(&letter::file_bytes()),
    );
    Mail { from: letter::FROM.to_owned(), to: vec!["ada@rcpt.example".to_owned()], data }
}
