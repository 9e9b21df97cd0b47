//! The services that get the message as it is: Mailgun, and a receiver of the operator's own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailferry::clock::Timestamp;
use mailferry::secret::Secret;
use mailferry::signature::Signer;
use serde_json::{Value, json};

use super::Recorded;
use super::service::Outbox;
use super::wire::{Head, Reply};
use crate::support::specs::form;

/// What posts to the fake receiver must be signed with.
pub(crate) const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

impl Outbox {
    /// Keys begin with `key-`.
    pub(super) fn mailgun(&mut self, request: &Recorded) -> Reply {
        let fields = form::read(request.header("content-type"), &request.body);
        let text = |message: &str| Reply::new(400, json!({"message": message}).to_string());
        if !is_known_to_mailgun(&request.head) {
            return Reply::new(401, "Forbidden");
        }
        let Ok(fields) = fields else { return text("to parameter is missing") };
        if !fields.iter().any(|field| field.name == "to") {
            return text("to parameter is missing. please check documentation");
        }
        if !fields.iter().any(|field| field.name == "message" && field.filename.is_some()) {
            return text("message parameter is missing. please check documentation");
        }
        let id = format!("<{}@mg.sender.example>", self.keep(request, form_as_json(request)));
        Reply::new(200, json!({"id": id, "message": "Queued. Thank you."}).to_string())
    }

    /// Knows a repeat by its id, as a careful author writes it.
    pub(super) fn webhook(&mut self, request: &Recorded) -> Reply {
        if let Some(refusal) = refused_signature(request) {
            return refusal;
        }
        let id = request.header("webhook-id").unwrap().to_owned();
        let known = self.keys.get(&id).map(|(_, name)| name.clone());
        let name = known.unwrap_or_else(|| {
            let name = self.keep(request, request.json());
            self.keys.insert(id, (Vec::new(), name.clone()));
            name
        });
        Reply::new(201, json!({"id": name}).to_string())
    }
}

fn is_known_to_mailgun(head: &Head) -> bool {
    let given = head.header("authorization").and_then(|value| value.strip_prefix("Basic "));
    let given = given.and_then(|it| String::from_utf8(STANDARD.decode(it).ok()?).ok());
    given.is_some_and(|it| it.starts_with("api:key-"))
}

/// The answer to a ping.
pub(super) fn pong(request: &Recorded) -> Reply {
    refused_signature(request).unwrap_or_else(|| Reply::new(204, ""))
}

/// The question about the receiver, by its id.
pub(super) fn is_ping(head: &Head) -> bool {
    head.header("webhook-id").is_some_and(|id| id.starts_with("mailferry-ping-"))
}

fn refused_signature(request: &Recorded) -> Option<Reply> {
    let signer = Signer::new(&Secret::new(WEBHOOK_SECRET)).unwrap();
    let header = |name| request.header(name).unwrap_or_default();
    let at =
        header("webhook-timestamp").parse().ok().and_then(|it| Timestamp::from_second(it).ok());
    let good = at.is_some_and(|at| {
        signer.sign(header("webhook-id"), at, &request.body) == header("webhook-signature")
    });
    (!good).then(|| Reply::new(401, json!({"error": "the signature does not fit"}).to_string()))
}

/// The form of a request as an object; the file is left out.
pub(super) fn form_as_json(request: &Recorded) -> Value {
    let fields = form::read(request.header("content-type"), &request.body).unwrap_or_default();
    form::as_object(&fields, |name| name == "to" || name == "o:tag").unwrap_or_default()
}

/// The message within a call to one of them.
pub(crate) fn mime(call: &Recorded) -> Vec<u8> {
    if let Some(raw) = call.json()["data"]["raw"].as_str() {
        return STANDARD.decode(raw).unwrap();
    }
    let fields = form::read(call.header("content-type"), &call.body).unwrap();
    fields.into_iter().find(|field| field.name == "message").unwrap().content
}
