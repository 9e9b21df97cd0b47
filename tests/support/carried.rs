//! Who gets a call and what it shows them, read from the request itself as the service reads it.
//!
//! Shared by tests/contract and the fuzz target `convert`. A new kind of provider needs its arm in [`carried`], and does
//! not compile without.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mailferry::config::ProviderKind;
use mailferry::provider::Call;
use serde_json::Value;

/// One message of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Carried {
    /// Everybody who gets it.
    pub(crate) recipients: Vec<String>,
    /// The addresses that the request shows to all of them; nothing where the MIME does that.
    pub(crate) shown: Vec<String>,
    /// All that they can read of the request beside the hidden recipients: its other fields, or the MIME.
    pub(crate) readable: Vec<u8>,
    /// The MIME, where the request has it.
    pub(crate) mime: Option<Vec<u8>>,
}

/// The messages of a request: one, or those of a batch. None where nothing is sent.
pub(crate) fn carried(kind: ProviderKind, call: &Call) -> Vec<Carried> {
    match kind {
        ProviderKind::Resend => {
            each(json(call), |body| structured(body, ["to", "cc", "bcc"], addresses))
        }
        ProviderKind::SendGrid => sendgrid(json(call)),
        ProviderKind::Ses => vec![ses(&json(call))],
        ProviderKind::Mailgun => vec![mailgun(call)],
        ProviderKind::Postmark => {
            each(json(call), |body| structured(body, ["To", "Cc", "Bcc"], addresses_of_text))
        }
        ProviderKind::Brevo => brevo(json(call)),
        ProviderKind::Smtp => vec![beside(call, call.body.to_vec())],
        ProviderKind::Webhook => vec![webhook(call)],
        // It keeps the message and sends nothing.
        ProviderKind::Capture => Vec::new(),
    }
}

fn json(call: &Call) -> Value {
    serde_json::from_slice(&call.body).expect("the body is JSON")
}

/// A batch is a list of what a single call would have.
fn each(body: Value, read: impl Fn(Value) -> Carried) -> Vec<Carried> {
    match body {
        Value::Array(bodies) => bodies.into_iter().map(read).collect(),
        body => vec![read(body)],
    }
}

/// A request that mails everybody in these three fields.
fn structured(mut body: Value, names: [&str; 3], read: impl Fn(&Value) -> Vec<String>) -> Carried {
    let [to, cc, bcc] = names.map(|name| read(&body[name]));
    if let Some(members) = body.as_object_mut() {
        members.remove(names[2]);
    }
    let shown = [to, cc].concat();
    let recipients = [shown.clone(), bcc].concat();
    Carried { recipients, shown, readable: text_of(&body).into_bytes(), mime: None }
}

/// Each personalization is a copy of its own, with what stands beside them.
fn sendgrid(mut body: Value) -> Vec<Carried> {
    let persons = body["personalizations"].take();
    let rest = text_of(&body).into_bytes();
    let each = persons.as_array().expect("a list").iter().map(|person| {
        let people = structured(person.clone(), ["to", "cc", "bcc"], addresses);
        Carried { readable: [people.readable, rest.clone()].concat(), ..people }
    });
    each.collect()
}

fn ses(body: &Value) -> Carried {
    let lists = ["ToAddresses", "CcAddresses", "BccAddresses"];
    let recipients = lists.iter().flat_map(|name| addresses(&body["Destination"][name])).collect();
    let data = body["Content"]["Raw"]["Data"].as_str().expect("raw MIME");
    raw(recipients, STANDARD.decode(data).expect("Base64"))
}

/// `to` is the envelope, however often it stands and however many addresses each time.
fn mailgun(call: &Call) -> Carried {
    let mut recipients = Vec::new();
    let mut mime = None;
    for (name, content) in form(call) {
        match name.as_str() {
            "to" => recipients.extend(addresses_of(&String::from_utf8(content).expect("UTF-8"))),
            "message" => assert!(mime.replace(content).is_none(), "one message"),
            "cc" | "bcc" => unreachable!("messages.mime has no {name}"),
            _ => {}
        }
    }
    raw(recipients, mime.expect("a message"))
}

/// The fields of a multipart/form-data body (RFC 7578): name and content.
pub(crate) fn form(call: &Call) -> Vec<(String, Vec<u8>)> {
    let (_, boundary) = call.content_type.split_once("boundary=").expect("a boundary");
    let boundary = boundary.split(';').next().unwrap_or_default().trim().trim_matches('"');
    let whole = [b"\r\n", &call.body[..]].concat();
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    let mut parts = Vec::new();
    let mut rest = &whole[find(&whole, &delimiter).expect("a first part") + delimiter.len()..];
    while !rest.starts_with(b"--") {
        let end = find(rest, &delimiter).expect("a last boundary");
        let part = rest[..end].strip_prefix(b"\r\n").expect("a line end behind the boundary");
        let head = find(part, b"\r\n\r\n").expect("a header");
        let fields = std::str::from_utf8(&part[..head]).expect("UTF-8");
        let (_, name) = fields.split_once("name=\"").expect("a name");
        let (name, _) = name.split_once('"').expect("the end of the name");
        parts.push((name.to_owned(), part[head + 4..].to_vec()));
        rest = &rest[end + delimiter.len()..];
    }
    assert_eq!(rest.trim_ascii_end(), b"--", "nothing behind the last boundary");
    parts
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// Each version is a message of its own; what it lacks stands beside the versions.
fn brevo(mut body: Value) -> Vec<Carried> {
    let names = ["to", "cc", "bcc"];
    let versions = body.as_object_mut().and_then(|members| members.remove("messageVersions"));
    let Some(Value::Array(versions)) = versions else {
        return vec![structured(body, names, addresses)];
    };
    let whole = |version: Value| {
        let mut message = body.clone();
        for (name, value) in version.as_object().expect("an object") {
            message[name] = value.clone();
        }
        structured(message, names, addresses)
    };
    versions.into_iter().map(whole).collect()
}

/// The envelope and the MIME stand in the body, and the fields of the message beside them.
fn webhook(call: &Call) -> Carried {
    let mut body = json(call);
    let data = body["data"].as_object_mut().expect("a message");
    let envelope = data.remove("envelope").expect("an envelope");
    let encoded = data.remove("raw").expect("the message");
    let mime = STANDARD.decode(encoded.as_str().expect("a text")).expect("Base64");
    let whole = raw(addresses(&envelope["recipients"]), mime);
    Carried { readable: [whole.readable, text_of(&body).into_bytes()].concat(), ..whole }
}

/// A message whose envelope stands beside the body.
fn beside(call: &Call, mime: Vec<u8>) -> Carried {
    let envelope = call.envelope.as_ref().expect("an envelope beside the body");
    raw(envelope.recipients.iter().map(ToString::to_string).collect(), mime)
}

fn raw(recipients: Vec<String>, mime: Vec<u8>) -> Carried {
    Carried { recipients, shown: Vec::new(), readable: mime.clone(), mime: Some(mime) }
}

/// The addresses of a list: texts, texts with names, or objects.
fn addresses(list: &Value) -> Vec<String> {
    let each = list.as_array().into_iter().flatten().map(|item| match item.as_str() {
        Some(text) => address_of(text),
        None => item["email"].as_str().expect("an address").to_owned(),
    });
    each.collect()
}

fn addresses_of_text(text: &Value) -> Vec<String> {
    addresses_of(text.as_str().unwrap_or_default())
}

/// The addresses of a text with commas between them. What is quoted has none, neither as a name nor as a local part.
fn addresses_of(text: &str) -> Vec<String> {
    let (mut quoted, mut escaped) = (false, false);
    let texts = text.split(|c: char| {
        let bare = !std::mem::take(&mut escaped);
        match c {
            '\\' => escaped = bare && quoted,
            '"' if bare => quoted = !quoted,
            _ => {}
        }
        c == ',' && !quoted
    });
    texts.map(str::trim).filter(|text| !text.is_empty()).map(address_of).collect()
}

/// `ada@example.org` of `Ada <ada@example.org>`.
fn address_of(text: &str) -> String {
    let text = text.trim();
    match text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
        Some((_, address)) => address.to_owned(),
        None => text.to_owned(),
    }
}

/// All texts of a value, as they are and not as JSON escapes them.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text}\n"),
        Value::Array(items) => items.iter().map(text_of).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| format!("{name}: {}", text_of(value))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => String::new(),
    }
}
