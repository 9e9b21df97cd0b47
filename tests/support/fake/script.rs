//! How a fake provider behaves.

use std::time::Duration;

use super::wire::Reply;

/// What becomes of one call.
#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    /// As the real service: mail is taken, a repeated key is recognised, a bad request is refused.
    Normal,
    /// This answer, and no mail is taken.
    Answer(Reply),
    /// The request is read and nothing ever comes back: a black hole.
    Hang,
    /// The connection is reset before the body is read.
    ResetEarly,
    /// The connection is reset after the whole request was read; no mail is taken.
    ResetLate,
    /// As `Normal`, but the connection is reset where the answer should come: the mail is out, and we cannot know.
    LoseAnswer,
    /// As `Normal`, but the answer takes this long.
    Slow(Duration),
    /// Something that is not HTTP.
    Garbage,
    /// As `Normal`, but the body of the answer does not end.
    Huge,
}

impl Behaviour {
    /// An answer with this status and body.
    pub(crate) fn answer(status: u16, body: impl Into<String>) -> Self {
        Self::Answer(Reply::new(status, body))
    }

    /// Resend's form of an error.
    pub(crate) fn resend_error(status: u16, name: &str, message: &str) -> Self {
        Self::Answer(resend_error(status, name, message))
    }

    /// SendGrid's form of an error.
    pub(crate) fn sendgrid_error(status: u16, message: &str) -> Self {
        Self::Answer(sendgrid_error(status, message))
    }

    /// Brevo's form of an error.
    pub(crate) fn brevo_error(status: u16, code: &str, message: &str) -> Self {
        Self::Answer(brevo_error(status, code, message))
    }

    /// Postmark's form of an error.
    pub(crate) fn postmark_error(status: u16, code: u16, message: &str) -> Self {
        Self::Answer(postmark_error(status, code, message))
    }
}

/// `{"code", "message"}`.
pub(crate) fn brevo_error(status: u16, code: &str, message: &str) -> Reply {
    let body = serde_json::json!({"code": code, "message": message});
    Reply::new(status, body.to_string())
}

/// `{"ErrorCode", "Message"}`.
pub(crate) fn postmark_error(status: u16, code: u16, message: &str) -> Reply {
    let body = serde_json::json!({"ErrorCode": code, "Message": message});
    Reply::new(status, body.to_string())
}

/// `{"statusCode", "name", "message"}`.
pub(crate) fn resend_error(status: u16, name: &str, message: &str) -> Reply {
    let body = serde_json::json!({"statusCode": status, "name": name, "message": message});
    Reply::new(status, body.to_string())
}

/// `{"errors": [{"message", "field", "help"}]}`.
pub(crate) fn sendgrid_error(status: u16, message: &str) -> Reply {
    let body = serde_json::json!({"errors": [{"message": message, "field": null, "help": null}]});
    Reply::new(status, body.to_string())
}
