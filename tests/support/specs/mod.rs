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
    /// The calls that send mail, and what is sent with each.
    sends: Vec<(&'static str, Body)>,
    /// The longest Idempotency-Key.
    key_max: Option<usize>,
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
            key_max: Some(usize::try_from(key_max.as_u64().unwrap()).unwrap()),
            sends: vec![
                ("/emails", openapi(&document, "/components/schemas/SendEmailRequest")),
                (
                    "/emails/batch",
                    openapi(
                        &document,
                        "/paths/~1emails~1batch/post/requestBody/content/application~1json/schema",
                    ),
                ),
            ],
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
            sends: vec![("/v3/mail/send", openapi(&mail, body))],
            key_max: None,
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
            sends: vec![(
                "/v2/email/outbound-emails",
                Body::Model {
                    shape: text(&model["operations"]["SendEmail"]["input"]["shape"]),
                    model: Box::new(model),
                },
            )],
            key_max: None,
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
            sends: vec![(
                "/v3/{domain_name}/messages.mime",
                Body::Form(Box::new(Schema::new(document, body))),
            )],
            key_max: None,
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
            sends: vec![("/mail", openapi(&document, "/components/schemas/Post"))],
            key_max: None,
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
            sends: vec![
                ("/email", openapi(&document, "/components/schemas/SendEmailRequest")),
                ("/email/batch", openapi(&document, "/components/schemas/SendEmailBatch")),
            ],
            key_max: None,
        }
    })
}

/// What Brevo says, likewise. Its paths stand below `/v3`.
pub(crate) fn brevo() -> Option<&'static Description> {
    static ONCE: OnceLock<Option<Description>> = OnceLock::new();
    let read = || {
        let document = yaml_document("brevo/swagger_definition_v3.yml")?;
        let operations = operations(&document).into_iter();
        Some(Description {
            operations: operations.map(|(method, path)| (method, format!("/v3{path}"))).collect(),
            sends: vec![(
                "/v3/smtp/email",
                openapi(&document, "/components/schemas/sendSmtpEmail"),
            )],
            key_max: None,
        })
    };
    ONCE.get_or_init(read).as_ref()
}

fn openapi(document: &Value, pointer: &str) -> Body {
    Body::OpenApi(Box::new(Schema::new(document.clone(), pointer)))
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
        let send = self.sends.iter().find(|(send, _)| method == "POST" && is_path(send, path));
        let Some((_, described)) = send else {
            if !body.is_empty() {
                faults.push(format!("{method} {path}: a body where none is described"));
            }
            return faults;
        };
        if let Body::Form(schema) = described {
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
            Ok(body) => faults.extend(match described {
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
    Some(serde_json::from_str(&std::fs::read_to_string(file(path)?).unwrap()).unwrap())
}

/// The same of one that is written in YAML.
fn yaml_document(path: &str) -> Option<Value> {
    // Brevo's has a tab in it, where none may be, and closing brackets that stand too far to the left.
    let text = std::fs::read_to_string(file(path)?).unwrap().replace('\t', " ");
    let lines = text.lines().map(|line| match line.trim() {
        bracket @ ("}" | "]" | "}," | "],") => format!("{}{bracket}\n", " ".repeat(60)),
        _ => format!("{line}\n"),
    });
    let text: String = lines.collect();
    let documents = YamlLoader::load_from_str(&text).unwrap();
    Some(from_yaml(&documents[0]))
}

fn from_yaml(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Integer(number) => Value::from(*number),
        Yaml::Boolean(truth) => Value::from(*truth),
        Yaml::String(text) => Value::from(text.as_str()),
        Yaml::Real(number) => {
            number.parse::<f64>().map_or_else(|_| number.as_str().into(), Value::from)
        }
        Yaml::Array(items) => items.iter().map(from_yaml).collect(),
        Yaml::Hash(members) => {
            // Statuses are numbers.
            let name = |key: &Yaml| {
                let number = key.as_i64().map(|number| number.to_string());
                key.as_str().map(str::to_owned).or(number).unwrap()
            };
            let members = members.iter().map(|(key, value)| (name(key), from_yaml(value)));
            Value::Object(members.collect())
        }
        Yaml::Null | Yaml::BadValue | Yaml::Alias(_) => Value::Null,
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
