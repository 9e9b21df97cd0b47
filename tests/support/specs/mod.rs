//! Requests held against the services' published descriptions (`MAILFERRY_SPECS`, by default `../shared/specs`), and
//! for a service that publishes none against what its documentation says.
//!
//! Two test programs share this: tests/contract for what the providers prepare, tests/e2e for what the fake services
//! get. A description is read and compiled once in each.

pub(crate) mod form;
pub(crate) mod openapi;
pub(crate) mod service_model;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use openapi::Schema;
use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

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
    /// A form, whose array fields are repeated and whose others are texts.
    Form(Box<Schema>),
    Model {
        model: Box<Value>,
        shape: String,
    },
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

/// What Mailgun says, likewise.
pub(crate) fn mailgun() -> Option<&'static Description> {
    static ONCE: OnceLock<Option<Description>> = OnceLock::new();
    let read = || {
        let document = yaml_document("mailgun/openapi.yaml")?;
        let body =
            "/components/schemas/POST-v3-domain_name-messages-mime-multipart-form-data-RequestBody";
        Some(Description {
            operations: operations(&document),
            send: "/v3/{domain_name}/messages.mime",
            key_max: None,
            body: Body::Form(Box::new(Schema::new(document, body))),
        })
    };
    ONCE.get_or_init(read).as_ref()
}

/// What we say about the posts to a webhook (`webhook.json`, in words in docs/webhook.md).
pub(crate) fn webhook() -> &'static Description {
    static ONCE: OnceLock<Description> = OnceLock::new();
    ONCE.get_or_init(|| {
        let document: Value = serde_json::from_str(include_str!("webhook.json")).unwrap();
        Description {
            operations: operations(&document),
            send: "/mail",
            key_max: None,
            body: Body::OpenApi(Box::new(Schema::new(document, "/components/schemas/Post"))),
        }
    })
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
        let known =
            |(known, template): &(String, String)| known == method && is_path(template, path);
        if !self.operations.iter().any(known) {
            faults.push(format!("{method} {path}: not in the description"));
        }
        if method != "POST" || !is_path(self.send, path) {
            if !body.is_empty() {
                faults.push(format!("{method} {path}: a body where none is described"));
            }
            return faults;
        }
        if let Body::Form(schema) = &self.body {
            match form_as_described(schema, content_type, body) {
                Ok(object) => faults.extend(schema.faults(&object)),
                Err(error) => faults.push(error),
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
                Body::OpenApi(schema) | Body::Form(schema) => schema.faults(&body),
                Body::Model { model, shape } => service_model::faults(model, shape, &body),
            }),
            Err(error) => faults.push(format!("the body is not JSON: {error}")),
        }
        faults
    }
}

/// Whether a path is one of this template: `/v4/domains/{name}`.
fn is_path(template: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given)) => {
                let any = wanted.starts_with('{') && wanted.ends_with('}') && !given.is_empty();
                if !any && wanted != given {
                    return false;
                }
            }
            (_, _) => return false,
        }
    }
}

/// The form as the schema has it. Header fields and variables have names that nobody can list; an example of each is in
/// the description.
fn form_as_described(
    schema: &Schema,
    content_type: Option<&str>,
    body: &[u8],
) -> Result<Value, String> {
    let mut fields = form::read(content_type, body)?;
    let files: Vec<_> = fields.iter().filter(|field| field.filename.is_some()).collect();
    if files.len() != 1 || files[0].name != "message" || files[0].content.is_empty() {
        return Err(format!("{} files", files.len()));
    }
    for field in &mut fields {
        for (start, example) in [("v:", "v:my-var"), ("h:", "h:X-My-Header")] {
            if field.name.starts_with(start) {
                example.clone_into(&mut field.name);
            }
        }
    }
    let mut seen = [false; 2];
    fields.retain(|field| {
        let example = ["v:my-var", "h:X-My-Header"].iter().position(|name| field.name == *name);
        example.is_none_or(|at| !std::mem::replace(&mut seen[at], true))
    });
    form::as_object(&fields, |name| schema.is_list(name))
}

/// The published document at this path, or `None` with a note that it is not there.
pub(crate) fn document(path: &str) -> Option<Value> {
    let text = std::fs::read(file(path)?).unwrap();
    Some(serde_json::from_slice(&text).unwrap())
}

/// Likewise one in YAML.
fn yaml_document(path: &str) -> Option<Value> {
    let text = std::fs::read_to_string(file(path)?).unwrap();
    Some(value(&YamlLoader::load_from_str(&text).unwrap()[0]))
}

fn value(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Real(text) => text.parse::<f64>().unwrap().into(),
        Yaml::Integer(number) => (*number).into(),
        Yaml::String(text) => text.as_str().into(),
        Yaml::Boolean(it) => (*it).into(),
        Yaml::Array(items) => items.iter().map(value).collect(),
        Yaml::Hash(members) => {
            let member = |(name, it): (&Yaml, &Yaml)| {
                let name = value(name);
                (name.as_str().map_or_else(|| name.to_string(), str::to_owned), value(it))
            };
            Value::Object(members.iter().map(member).collect())
        }
        Yaml::Null => Value::Null,
        Yaml::Alias(_) | Yaml::BadValue => unreachable!("not in a description that can be read"),
    }
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
