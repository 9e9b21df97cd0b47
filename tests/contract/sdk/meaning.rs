//! Requests in a form in which those that mean the same are equal: the differences that are allowed, service by service.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mailferry::provider::Call;
use serde_json::{Map, Value, json};

use crate::carried;
use crate::recorder::Recorded;

/// A text or a list of texts, and content as numbers or Base64, are the same to Resend.
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
    if let Some(headers) = members.get_mut("headers").and_then(Value::as_object_mut) {
        without_own_reference(headers);
    }
    body
}

/// Services that write a Message-ID of their own get the app's in References as well; no SDK does that.
fn without_own_reference(headers: &mut Map<String, Value>) {
    let value = |name: &str| {
        let found = headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(known, value)| (known.clone(), value.as_str().unwrap().to_owned()))
    };
    let (Some((_, id)), Some((name, references))) = (value("Message-ID"), value("References"))
    else {
        return;
    };
    let others = references.strip_suffix(&id).unwrap_or(&references).trim_end();
    if others.is_empty() {
        headers.remove(&name);
    } else {
        headers.insert(name, json!(others));
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

/// The MIME of ours lacks the fields that are orders; the SDKs get it with them.
pub(super) fn in_sess(request: &Recorded) -> Value {
    let mut body = request.json();
    let data = STANDARD.decode(body["Content"]["Raw"]["Data"].as_str().unwrap()).unwrap();
    let text = without_orders(&data, "X-SES-");
    let id = text.lines().find_map(|line| line.strip_prefix("Message-ID: ")).unwrap_or_default();
    let text = text.replacen(&format!("References: {id}\r\n"), "", 1);
    let text = text.replacen(&format!("\r\n {id}\r\n"), "\r\n", 1);
    body["Content"]["Raw"]["Data"] = json!(text);
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

/// The header of a message is what the SDKs got in other words: names in any case. A reply address without a name may
/// have an empty one. Ours adds the key by which a repeat is known, and what its own documents say that it must change.
pub(super) fn in_brevos(request: &Recorded) -> Value {
    let mut body = request.json();
    let members = body.as_object_mut().unwrap();
    members.retain(|_, value| ![json!([]), json!({}), json!(null)].contains(value));
    if let Some(Value::Object(headers)) = members.remove("headers") {
        let known = |name: &str| !name.eq_ignore_ascii_case("idempotencyKey");
        let mut headers: Map<_, _> = headers
            .into_iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .filter(|(name, _)| known(name))
            .collect();
        // It writes Date and Message-ID anew. The app's id ours puts where it arrives.
        headers.remove("date");
        if let Some(id) = headers.remove("x-original-message-id") {
            headers.insert("message-id".to_owned(), id);
        }
        without_own_reference(&mut headers);
        body["headers"] = json!(headers);
    }
    body
}

fn without_orders(mime: &[u8], prefix: &str) -> String {
    let text = std::str::from_utf8(mime).unwrap();
    let lines = text.split_inclusive('\n').filter(|line| !line.starts_with(prefix));
    lines.collect()
}
