//! Requests in a form in which those that mean the same are equal: the differences that are allowed, service by service.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mailferry::provider::Call;
use serde_json::{Map, Value, json};

use crate::carried;
use crate::recorder::Recorded;

/// A text or a list of texts, and content as numbers or Base64, are the same to Resend. Ours keeps the Message-ID, which
/// it replaces, in References.
pub(super) fn in_resends(request: &Recorded) -> Value {
    let mut body = request.json();
    let members = body.as_object_mut().unwrap();
    for field in ["to", "cc", "bcc", "reply_to"] {
        if let Some(text) = members.get(field).filter(|value| value.is_string()) {
            let list = json!([text]);
            members.insert(field.to_owned(), list);
        }
    }
    for file in members.get_mut("attachments").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(numbers) = file["content"].as_array() {
            let bytes: Vec<_> =
                numbers.iter().map(|n| u8::try_from(n.as_u64().unwrap()).unwrap()).collect();
            file["content"] = json!(STANDARD.encode(bytes));
        }
    }
    without_own_id(&mut body["headers"], ["References", "Message-ID"]);
    body
}

/// Takes the message's own id out of its References.
fn without_own_id(headers: &mut Value, [references, message_id]: [&str; 2]) {
    let own = headers[message_id].as_str().unwrap_or_default().to_owned();
    let Some(members) = headers.as_object_mut() else { return };
    if let Some(Value::String(ids)) = members.remove(references) {
        let others: Vec<_> = ids.split_whitespace().filter(|id| *id != own).collect();
        if !others.is_empty() {
            members.insert(references.to_owned(), json!(others.join(" ")));
        }
    }
}

/// Headers and arguments stand at the top or in the only personalization. One SDK lists the files and the
/// categories backwards, the other writes down that there are no files.
pub(super) fn in_sendgrids(request: &Recorded) -> Value {
    let mut body = request.json();
    let mut common = BTreeMap::new();
    for member in ["headers", "custom_args", "send_at"] {
        let inner = body["personalizations"][0].as_object_mut().unwrap().remove(member);
        let outer = body.as_object_mut().unwrap().remove(member);
        let mut gathered = Map::new();
        for found in [inner, outer].into_iter().flatten() {
            match found {
                Value::Object(found) => gathered.extend(found),
                other => drop(gathered.insert(member.to_owned(), other)),
            }
        }
        common.insert(member, gathered);
    }
    body["common"] = json!(common);
    if let Some(files) = body.get_mut("attachments").and_then(Value::as_array_mut) {
        files.sort_by_key(|file| file["filename"].to_string());
    }
    if let Some(categories) = body.get_mut("categories").and_then(Value::as_array_mut) {
        categories.sort_by_key(ToString::to_string);
    }
    body.as_object_mut().unwrap().retain(|_, value| *value != json!([]));
    body
}

/// Headers that the SDKs pass on and the service refuses, and the one with which ours asks it to keep the Message-ID.
/// The SDKs write down that there is nothing.
pub(super) fn in_postmarks(request: &Recorded) -> Value {
    let mut body = request.json();
    let only_one_side = ["Date", "X-PM-KeepID"];
    let headers = body["Headers"].as_array_mut().unwrap();
    headers.retain(|header| !only_one_side.iter().any(|name| header["Name"] == *name));
    let members = body.as_object_mut().unwrap();
    members.retain(|_, value| ![json!([]), json!({}), json!(null)].contains(value));
    body
}

/// The MIME of ours lacks the fields that are orders, and has the Message-ID, which SES replaces, in References; the SDKs
/// get it as it was.
pub(super) fn in_sess(request: &Recorded) -> Value {
    let mut body = request.json();
    let data = STANDARD.decode(body["Content"]["Raw"]["Data"].as_str().unwrap()).unwrap();
    body["Content"]["Raw"]["Data"] = json!(without_orders(&data, "X-SES-"));
    body
}

/// Fields of a form; `to` may stand once for each recipient, or once with all of them.
pub(super) fn in_mailguns(request: &Recorded) -> Value {
    let content_type = request.header("content-type").to_owned();
    let call = Call::new(request.body.clone(), content_type);
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, content) in carried::form(&call) {
        if name == "message" {
            let mime = without_orders(&content, "X-Mailgun-");
            fields.entry(name).or_default().push(mime);
        } else {
            let text = String::from_utf8(content).unwrap();
            let values = match name.as_str() {
                "to" => text.split(',').map(|it| it.trim().to_owned()).collect(),
                _ => vec![text],
            };
            fields.entry(name).or_default().extend(values);
        }
    }
    json!(fields)
}

/// What Brevo's documents say that must differ: ours sends a page made of the text where there is no HTML, no standard fields
/// and no values outside ASCII, and keeps the Message-ID, which Brevo replaces, in References and in a field of its own; it
/// adds the key by which a repeat is known, leaves out files without an extension, and writes file names in ASCII. Names of
/// fields are in any case.
pub(super) fn in_brevos(request: &Recorded) -> Value {
    let mut body = request.json();
    let members = body.as_object_mut().unwrap();
    members.retain(|_, value| ![json!([]), json!({}), json!(null)].contains(value));
    if members
        .get("htmlContent")
        .and_then(Value::as_str)
        .is_some_and(|page| page.starts_with("<!DOCTYPE html>\n<html><body>\n"))
    {
        members.remove("htmlContent");
    }
    let mut headers: BTreeMap<String, Value> = BTreeMap::new();
    if let Some(Value::Object(sent)) = members.remove("headers") {
        headers.extend(sent.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)));
    }
    headers.retain(|_, value| value.as_str().is_some_and(str::is_ascii));
    let kept = headers.remove("x-original-message-id");
    if let Some(id) = kept {
        headers.insert("message-id".to_owned(), id);
    }
    let mut headers = json!(headers);
    without_own_id(&mut headers, ["references", "message-id"]);
    for gone in ["date", "idempotencykey", "idempotency-key"] {
        headers.as_object_mut().unwrap().remove(gone);
    }
    body["headers"] = headers;
    if let Some(files) = body.get_mut("attachment").and_then(Value::as_array_mut) {
        files.retain(|file| file["name"].as_str().unwrap().contains('.'));
        for file in files {
            let name = file["name"].as_str().unwrap();
            let mut ascii: Vec<char> =
                name.chars().map(|c| if c.is_ascii() { c } else { '_' }).collect();
            ascii.dedup_by(|one, other| (*one, *other) == ('_', '_'));
            file["name"] = json!(String::from_iter(ascii));
        }
    }
    body
}

/// The MIME without these fields, and without its own id in References, which stand on one line then.
fn without_orders(mime: &[u8], prefix: &str) -> String {
    let text = std::str::from_utf8(mime).unwrap();
    let (header, body) = text.split_once("\r\n\r\n").unwrap();
    let unfolded = header.replace("\r\n ", " ").replace("\r\n\t", " ");
    let own = unfolded.lines().find_map(|line| line.strip_prefix("Message-ID: ")).unwrap();
    let mut lines = Vec::new();
    for line in unfolded.lines().filter(|line| !line.starts_with(prefix)) {
        match line.strip_prefix("References: ") {
            Some(ids) => {
                let others: Vec<_> = ids.split_whitespace().filter(|id| *id != own).collect();
                if !others.is_empty() {
                    lines.push(format!("References: {}", others.join(" ")));
                }
            }
            None => lines.push(line.to_owned()),
        }
    }
    format!("{}\r\n\r\n{body}", lines.join("\r\n"))
}
