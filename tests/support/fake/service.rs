//! What the real services do with a request: the part of it that the relay depends on.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Recorded;
use super::script::{brevo_error, postmark_error, resend_error, sendgrid_error};
use super::whole::is_ping;
use super::wire::{Head, Reply};
use crate::support::specs::{self, Description};

/// Which service is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Resend,
    SendGrid,
    Ses,
    Mailgun,
    Postmark,
    Webhook,
    Brevo,
}

impl Service {
    /// What the real service has published about its requests, where it is at hand.
    pub(crate) fn description(self) -> Option<&'static Description> {
        match self {
            Self::Resend => specs::resend(),
            Self::SendGrid => specs::sendgrid(),
            Self::Ses => specs::ses(),
            Self::Mailgun => specs::mailgun(),
            Self::Postmark => Some(specs::postmark()),
            Self::Webhook => Some(specs::webhook()),
            Self::Brevo => specs::brevo(),
        }
    }

    /// True for the call that sends mail; everything else is a question about the account.
    pub(crate) fn sends(self, head: &Head) -> bool {
        let path = head.path.as_str();
        let send: &[&str] = match self {
            Self::Mailgun => return head.method == "POST" && path.ends_with("/messages.mime"),
            Self::Webhook => return head.method == "POST" && !is_ping(head),
            Self::Resend => &["/emails", "/emails/batch"],
            Self::SendGrid => &["/v3/mail/send"],
            Self::Ses => &["/v2/email/outbound-emails"],
            Self::Postmark => &["/email", "/email/batch"],
            Self::Brevo => &["/v3/smtp/email"],
        };
        head.method == "POST" && send.contains(&path)
    }

    /// Answers a question about the account: it is in good order.
    pub(crate) fn account(self, path: &str) -> Reply {
        let answer = match (self, path) {
            (Self::Resend, "/domains") => {
                json!({"object": "list", "data": [
                    {"id": "d-1", "name": "sender.example", "status": "verified"}
                ]})
            }
            (Self::SendGrid, "/v3/scopes") => json!({"scopes": ["mail.send"]}),
            (Self::Ses, "/v2/email/account") => json!({
                "SendingEnabled": true, "ProductionAccessEnabled": true, "EnforcementStatus": "HEALTHY",
                "SendQuota": {"Max24HourSend": 50000.0, "MaxSendRate": 14.0, "SentLast24Hours": 0.0}
            }),
            (Self::Postmark, "/server") => json!({
                "ID": 1, "Name": "sender", "ApiTokens": ["token-of-another"], "DeliveryType": "Live"
            }),
            (Self::Mailgun, path) if path.starts_with("/v4/domains/") => {
                json!({"domain": {"name": "mg.sender.example", "state": "active"}})
            }
            (Self::Brevo, "/v3/account") => json!({"email": "owner@sender.example", "plan": []}),
            (
                Self::Resend
                | Self::SendGrid
                | Self::Ses
                | Self::Mailgun
                | Self::Postmark
                | Self::Brevo
                | Self::Webhook,
                _,
            ) => {
                return resend_error(404, "not_found", "no such endpoint at the fake provider");
            }
        };
        Reply::new(200, answer.to_string())
    }
}

/// One mail that left.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    /// What the service calls it.
    pub(crate) id: String,
    /// The Idempotency-Key of the call, if it had one.
    pub(crate) key: Option<String>,
    /// The request's JSON; the fields of one that is a form.
    pub(crate) json: Value,
}

impl Mail {
    /// The subject, where the service gets one as a field.
    pub(crate) fn subject(&self) -> &str {
        let subject = self.json.get("subject").or(self.json.get("Subject"));
        subject.and_then(Value::as_str).unwrap_or_default()
    }
}

/// The mail that left, and the keys under which it did.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) mails: Vec<Mail>,
    pub(super) keys: HashMap<String, (Vec<u8>, String)>,
    in_flight: HashSet<String>,
}

impl Outbox {
    /// Takes the mail as the service would, and gives its answer.
    ///
    /// A key stays in flight until [`Outbox::answered`].
    pub(crate) fn take(&mut self, service: Service, request: &Recorded) -> Reply {
        match service {
            Service::Resend => self.resend(request),
            Service::SendGrid => self.sendgrid(request),
            Service::Ses => self.ses(request),
            Service::Mailgun => self.mailgun(request),
            Service::Postmark => self.postmark(request),
            Service::Webhook => self.webhook(request),
            Service::Brevo => self.brevo(request),
        }
    }

    /// The answer to this request is out, or lost.
    pub(crate) fn answered(&mut self, request: &Recorded) {
        if let Some(key) = request.header("idempotency-key") {
            self.in_flight.remove(key);
        }
    }

    pub(super) fn keep(&mut self, request: &Recorded, json: Value) -> String {
        let mut id = format!("{:08x}-fa4e-4000-8000-", self.mails.len());
        // Writing to a String does not fail.
        let _ = write!(id, "{:012x}", self.mails.len());
        let key = request.header("idempotency-key").map(str::to_owned);
        self.mails.push(Mail { id: id.clone(), key, json });
        id
    }

    fn resend(&mut self, request: &Recorded) -> Reply {
        if request.header("user-agent").is_none() {
            return Reply::new(403, r#"{"error":"error code: 1010"}"#);
        }
        if !request.header("authorization").is_some_and(|value| value.starts_with("Bearer re_")) {
            return resend_error(
                401,
                "missing_api_key",
                "Missing API key in the authorization header.",
            );
        }
        // Of a batch either all are taken or none.
        let mails = in_a_batch(request);
        for mail in mails.clone().unwrap_or_else(|| vec![request.json()]) {
            for field in ["from", "to", "subject"] {
                if mail.get(field).is_none_or(|value| value.is_null() || *value == json!([])) {
                    return resend_error(
                        422,
                        "missing_required_field",
                        &format!("Missing `{field}` field."),
                    );
                }
            }
            if mails.is_some() && mail.get("attachments").is_some() {
                let text = "Attachments are not supported in a batch.";
                return resend_error(422, "validation_error", text);
            }
        }
        let taken = |outbox: &mut Self| match mails {
            Some(mails) => {
                let ids = mails.into_iter().map(|mail| json!({"id": outbox.keep(request, mail)}));
                json!({"data": ids.collect::<Vec<_>>()}).to_string()
            }
            None => json!({"id": outbox.keep(request, request.json())}).to_string(),
        };
        let Some(key) = request.header("idempotency-key") else {
            return Reply::new(200, taken(self));
        };
        if key.is_empty() || key.len() > 256 {
            return resend_error(400, "invalid_idempotency_key", "The key must be 1-256 chars.");
        }
        if !self.in_flight.insert(key.to_owned()) {
            let text = "Another request with this idempotency key is in progress.";
            return resend_error(409, "concurrent_idempotent_requests", text);
        }
        match self.keys.get(key) {
            Some((body, answer)) if *body == request.body => Reply::new(200, answer.clone()),
            Some(_) => {
                let text = "This idempotency key was used with another request body.";
                resend_error(409, "invalid_idempotent_request", text)
            }
            None => {
                let answer = taken(self);
                self.keys.insert(key.to_owned(), (request.body.clone(), answer.clone()));
                Reply::new(200, answer)
            }
        }
    }

    fn sendgrid(&mut self, request: &Recorded) -> Reply {
        if !request.header("authorization").is_some_and(|value| value.starts_with("Bearer SG.")) {
            return sendgrid_error(
                401,
                "The provided authorization grant is invalid, expired, or revoked",
            );
        }
        let mail = request.json();
        if mail["personalizations"][0]["to"][0]["email"].as_str().is_none() {
            return sendgrid_error(400, "The to array is required for all personalization objects");
        }
        let id = self.keep(request, mail);
        Reply::new(202, "").header("X-Message-Id", &id)
    }

    fn ses(&mut self, request: &Recorded) -> Reply {
        let signed = |value: &str| value.starts_with("AWS4-HMAC-SHA256 Credential=");
        if !request.header("authorization").is_some_and(signed) {
            return Reply::new(403, r#"{"message":"Missing Authentication Token"}"#)
                .header("x-amzn-ErrorType", "MissingAuthenticationTokenException");
        }
        if request.json()["Content"]["Raw"]["Data"].as_str().is_none() {
            return Reply::new(400, r#"{"message":"Content must not be empty"}"#)
                .header("x-amzn-ErrorType", "BadRequestException");
        }
        let id = self.keep(request, request.json());
        Reply::new(200, json!({"MessageId": id}).to_string())
    }

    fn postmark(&mut self, request: &Recorded) -> Reply {
        if request.header("x-postmark-server-token").is_none_or(|token| token.len() != 36) {
            return postmark_error(401, 10, "The Server Token you provided was invalid.");
        }
        let Some(mails) = in_a_batch(request) else {
            return match self.postmark_mail(request, request.json()) {
                Ok(answer) => Reply::new(200, answer.to_string()),
                Err((code, text)) => postmark_error(422, code, &text),
            };
        };
        if mails.len() > 500 {
            return postmark_error(422, 410, "Too many batch messages.");
        }
        let answers = mails.into_iter().map(|mail| {
            let refused = |(code, text)| json!({"ErrorCode": code, "Message": text});
            self.postmark_mail(request, mail).unwrap_or_else(refused)
        });
        Reply::new(200, Value::from(answers.collect::<Vec<_>>()).to_string())
    }

    /// Whoever is at [`INACTIVE`] has complained about an earlier mail.
    fn postmark_mail(&mut self, request: &Recorded, mail: Value) -> Result<Value, (u16, String)> {
        let text = |name: &str| mail[name].as_str().unwrap_or_default();
        for header in mail["Headers"].as_array().into_iter().flatten() {
            let name = header["Name"].as_str().unwrap_or_default();
            if ["date", "sender", "reply-to"].contains(&name.to_lowercase().as_str()) {
                return Err((300, format!("Header '{name}' not allowed.")));
            }
        }
        if text("TextBody").trim().is_empty() && text("HtmlBody").trim().is_empty() {
            return Err((300, "Provide either email TextBody or HtmlBody or both.".to_owned()));
        }
        let all = [text("To"), text("Cc"), text("Bcc")];
        let all: Vec<&str> = all.iter().flat_map(|list| list.split(", ")).collect();
        let all: Vec<&str> = all.into_iter().filter(|text| text.contains('@')).collect();
        let inactive: Vec<String> = all
            .iter()
            .filter(|text| text.trim_end_matches('>').to_lowercase().ends_with(INACTIVE))
            .map(|text| text.rsplit('<').next().unwrap().trim_end_matches('>').to_lowercase())
            .collect();
        let gone = inactive.join(", ");
        if !inactive.is_empty() && inactive.len() == all.len() {
            let text = format!(
                "You tried to send to inactive recipients. Found inactive addresses: {gone}."
            );
            return Err((406, text));
        }
        let message = match gone.as_str() {
            "" => "OK".to_owned(),
            _ => format!(
                "Message OK, but will not deliver to these inactive addresses: {gone}. Inactive recipients are \
                 ones that have generated a hard bounce or a spam complaint."
            ),
        };
        let to = text("To").to_owned();
        Ok(json!({
            "To": to, "SubmittedAt": "2026-11-21T10:00:00.0000000Z", "MessageID": self.keep(request, mail),
            "ErrorCode": 0, "Message": message
        }))
    }

    /// A key that was used with a mail that was taken is refused, whatever comes with it.
    fn brevo(&mut self, request: &Recorded) -> Reply {
        if request.header("api-key").is_none_or(|key| !key.starts_with("xkeysib-")) {
            return brevo_error(401, "unauthorized", "Key not found");
        }
        let mail = request.json();
        for (field, name) in [("sender", "email"), ("to", "0"), ("subject", "")] {
            if mail.get(field).is_none_or(|value| value.is_null() || *value == json!([])) {
                return brevo_error(
                    400,
                    "missing_parameter",
                    &format!("{field} {name} is missing"),
                );
            }
        }
        if mail.get("htmlContent").is_none() {
            return brevo_error(400, "missing_parameter", "htmlContent is missing");
        }
        let key = mail["headers"]["idempotencyKey"].as_str().unwrap_or_default().to_owned();
        if key.parse::<uuid::Uuid>().is_err() {
            return brevo_error(400, "invalid_parameter", "idempotencyKey must be a UUID");
        }
        if self.keys.contains_key(&key) {
            return brevo_error(400, "duplicate_parameter", "idempotencyKey was used before");
        }
        let id = self.keep(request, mail);
        self.keys.insert(key, (Vec::new(), id.clone()));
        Reply::new(201, json!({"messageId": id}).to_string())
    }
}

/// The mails of a request that has several.
fn in_a_batch(request: &Recorded) -> Option<Vec<Value>> {
    let batch = request.head.path.ends_with("/batch");
    batch.then(|| request.json().as_array().cloned().unwrap_or_default())
}

/// The domain of everybody whom the fake Postmark does not serve.
pub(crate) const INACTIVE: &str = "@inactive.example";
