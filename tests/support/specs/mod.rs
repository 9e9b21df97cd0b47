//! Requests held against the services' published descriptions (`MAILFERRY_SPECS`, by default `../shared/specs`), and
//! for a service that publishes none against what its documentation says.
//!
//! Two test programs share this: tests/contract for what the providers prepare, tests/e2e for what the fake services
//! get. A description is read and compiled once in each.

pub(crate) mod openapi;
pub(crate) mod service_model;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use openapi::Schema;
use serde_json::Value;

use super::skip::skip;

/// What a service says about the requests that it takes.
#[derive(Debug)]
pub(crate) struct Description {
    /// Method and path of everything that can be asked.
    operations: Vec<(String, String)>,
    /// The call that sends mail.
    send: &'static str,
    /// The longest Idempotency-Key.
    key_max: Option<usize>,
    body: Body,
}

#[derive(Debug)]
enum Body {
    OpenApi(Box<Schema>),
    Model { model: Box<Value>, shape: String },
}

/// One request, from whichever server took it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) content_type: Option<&'a str>,
    pub(crate) idempotency_key: Option<&'a str>,
    pub(crate) body: &'a [u8],
}

/// What Resend says, or `None` with a note that it is not there.
pub(crate) fn resend() -> Option<&'static Description> {
    static ONCE: OnceLock<Option<Description>> = OnceLock::new();
    let read = || {
        let document = document("resend/resend.json")?;
        let key_max = &document["paths"]["/emails"]["post"]["parameters"][0]["schema"]["maxLength"];
        Some(Description {
            operations: operations(&document),
            send: "/emails",
            key_max: Some(usize::try_from(key_max.as_u64().unwrap()).unwrap()),
            body: Body::OpenApi(Box::new(Schema::new(
                document,
                "/components/schemas/SendEmailRequest",
            ))),
        })
    };
    ONCE.get_or_init(read).as_ref()
}

/// What SendGrid says, likewise.
pub(crate) fn sendgrid() -> Option<&'static Description> {
    static ONCE: OnceLock<Option<Description>> = OnceLock::new();
    let read = || {
        let mail = document("sendgrid/tsg_mail_v3.json")?;
        let scopes = document("sendgrid/tsg_scopes_v3.json")?;
        let body = "/components/requestBodies/PostMailSend/content/application~1json/schema";
        Some(Description {
            operations: [operations(&mail), operations(&scopes)].concat(),
            send: "/v3/mail/send",
            key_max: None,
            body: Body::OpenApi(Box::new(Schema::new(mail, body))),
        })
    };
    ONCE.get_or_init(read).as_ref()
}

/// What the service model of SES says, likewise.
pub(crate) fn ses() -> Option<&'static Description> {
    static ONCE: OnceLock<Option<Description>> = OnceLock::new();
    let read = || {
        let model = document("ses/service-2.json")?;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let operations = model["operations"].as_object().unwrap().values();
        let operations = operations.map(|operation| &operation["http"]);
        Some(Description {
            operations: operations
                .map(|http| (text(&http["method"]), text(&http["requestUri"])))
                .collect(),
            send: "/v2/email/outbound-emails",
            key_max: None,
            body: Body::Model {
                shape: text(&model["operations"]["SendEmail"]["input"]["shape"]),
                model: Box::new(model),
            },
        })
    };
    ONCE.get_or_init(read).as_ref()
}

/// What Postmark says in its documentation. It publishes no description, so this one is ours (`postmark.json`).
pub(crate) fn postmark() -> &'static Description {
    static ONCE: OnceLock<Description> = OnceLock::new();
    ONCE.get_or_init(|| {
        let document: Value = serde_json::from_str(include_str!("postmark.json")).unwrap();
        Description {
            operations: operations(&document),
            send: "/email",
            key_max: None,
            body: Body::OpenApi(Box::new(Schema::new(
                document,
                "/components/schemas/SendEmailRequest",
            ))),
        }
    })
}

impl Description {
    /// Everything that is wrong with a request; nothing when it is as described.
    pub(crate) fn faults(&self, request: &Request<'_>) -> Vec<String> {
        let Request { method, path, content_type, idempotency_key, body } = *request;
        let mut faults = Vec::new();
        let known = |(known, its_path): &(String, String)| known == method && its_path == path;
        if !self.operations.iter().any(known) {
            faults.push(format!("{method} {path}: not in the description"));
        }
        if (method, path) != ("POST", self.send) {
            if !body.is_empty() {
                faults.push(format!("{method} {path}: a body where none is described"));
            }
            return faults;
        }
        if content_type != Some("application/json") {
            faults.push(format!("content-type: {content_type:?}"));
        }
        if let (Some(key), Some(max)) = (idempotency_key, self.key_max)
            && !(1..=max).contains(&key.len())
        {
            faults.push(format!("idempotency-key: {} octets", key.len()));
        }
        match serde_json::from_slice(body) {
            Ok(body) => faults.extend(match &self.body {
                Body::OpenApi(schema) => schema.faults(&body),
                Body::Model { model, shape } => service_model::faults(model, shape, &body),
            }),
            Err(error) => faults.push(format!("the body is not JSON: {error}")),
        }
        faults
    }
}

/// The published document at this path, or `None` with a note that it is not there.
pub(crate) fn document(path: &str) -> Option<Value> {
    let text = std::fs::read(file(path)?).unwrap();
    Some(serde_json::from_slice(&text).unwrap())
}

/// The file of a published document, likewise.
pub(crate) fn file(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("MAILFERRY_SPECS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/specs"),
        PathBuf::from,
    );
    let file = root.join(path);
    if let Err(error) = std::fs::File::open(&file) {
        let why = format!("{} cannot be read ({error})", file.display());
        skip("requests against the published descriptions", &why);
        return None;
    }
    Some(file)
}

/// The operations of an OpenAPI document.
fn operations(document: &Value) -> Vec<(String, String)> {
    let paths = document["paths"].as_object().unwrap();
    let each = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().keys();
        methods.map(move |method| (method.to_uppercase(), path.clone()))
    });
    each.collect()
}
