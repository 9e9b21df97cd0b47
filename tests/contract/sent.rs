//! What each provider is sent of every message of `tests/mail`, in a form that a person can compare with the message.
//!
//! One file per message in `tests/mail/sent`, a section per provider. `INSTA_UPDATE=always cargo test --test contract
//! sent` writes them anew; whoever does so reads every line that has changed.

use std::fmt::Write as _;
use std::sync::Arc;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mailferry::config::ProviderKind;
use mailferry::message::{Address, Loss};
use mailferry::provider::{Call, Provider};
use serde_json::Value;

use crate::letters::{Sample, corpus};
use crate::support::nowhere;

/// Texts of Base64 from this length on are shown as length, beginning and hash.
const SHORTENED_FROM: usize = 24;
/// How much of a line or a value is shown.
const SHOWN_MAX: usize = 400;
/// JSON that is no longer stands on one line.
const LINE_MAX: usize = 140;

#[test]
fn every_provider_is_sent_what_it_was() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../mail/sent");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let accounts = ProviderKind::ALL.map(|kind| (kind, nowhere(kind)));
    for sample in corpus() {
        let name = sample.name.trim_end_matches(".eml");
        settings.bind(|| insta::assert_snapshot!(name, shown(&sample, &accounts)));
    }
}

/// The sections of all providers. One that is sent what another is sent says so.
fn shown(sample: &Sample, accounts: &[(ProviderKind, Arc<dyn Provider>)]) -> String {
    let mut out = envelope(sample);
    let mut before: Vec<(ProviderKind, String)> = Vec::new();
    for (kind, provider) in accounts {
        let section = match sample.calls(&**provider) {
            Err(unfit) => format!("unfit: {}\n", unfit.reason),
            Ok(calls) => calls.iter().map(|call| one(call, &sample.raw)).collect(),
        };
        writeln!(out, "\n=== {kind}").unwrap();
        match before.iter().find(|(_, known)| *known == section) {
            Some((known, _)) => writeln!(out, "as {known}").unwrap(),
            None => out.push_str(&section),
        }
        before.push((*kind, section));
    }
    out
}

fn envelope(sample: &Sample) -> String {
    let sender = sample.envelope.sender.as_ref().map_or("<>", Address::as_str);
    let recipients: Vec<_> = sample.envelope.recipients.iter().map(Address::as_str).collect();
    format!("MAIL FROM {sender}\nRCPT TO {}\n", recipients.join(", "))
}

/// One call: its losses, then its body.
fn one(call: &Call, raw: &[u8]) -> String {
    let mut out = format!("--- {}\n", call.content_type.split(';').next().unwrap_or_default());
    for Loss { what, why, grave } in &call.losses {
        let weight = if *grave { "GRAVE" } else { "slight" };
        writeln!(out, "{weight}: {what}: {}", cut(why)).unwrap();
    }
    if let Some(key) = &call.key {
        writeln!(out, "key: {}", cut(key)).unwrap();
    }
    if let Some(envelope) = &call.envelope {
        let recipients: Vec<_> = envelope.recipients.iter().map(Address::as_str).collect();
        let sender = envelope.sender.as_ref().map_or("<>", Address::as_str);
        writeln!(out, "envelope: {sender} to {}", recipients.join(", ")).unwrap();
    }
    if call.content_type.starts_with("application/json") {
        let mut body: Value = serde_json::from_slice(&call.body).unwrap();
        shorten(&mut body, raw);
        pretty(&body, 0, &mut out);
        out.push('\n');
    } else if call.content_type.starts_with("multipart/") {
        out.push_str(&form(&call.body, raw));
    } else {
        out.push_str(&difference(raw, &call.body));
    }
    out
}

/// The parts of a form: fields as they are, the message as a difference.
fn form(body: &[u8], raw: &[u8]) -> String {
    let boundary_end = memchr::memchr(b'\n', body).unwrap_or(body.len());
    let boundary = body[..boundary_end].trim_ascii_end();
    let finder = memchr::memmem::Finder::new(boundary);
    let starts: Vec<usize> = finder.find_iter(body).collect();
    let mut out = String::new();
    for pair in starts.windows(2) {
        let section = &body[pair[0] + boundary.len()..pair[1]];
        let section = section.strip_prefix(b"\r\n").unwrap_or(section);
        let section = section.strip_suffix(b"\r\n").unwrap_or(section);
        let split = memchr::memmem::find(section, b"\r\n\r\n").unwrap_or(section.len());
        let (head, value) = section.split_at(split);
        let value = value.get(4..).unwrap_or_default();
        let head = String::from_utf8_lossy(head).replace("\r\n", "; ");
        if head.contains("name=\"message\"") {
            writeln!(out, "{head}\n{}", difference(raw, value)).unwrap();
        } else {
            writeln!(out, "{head}: {}", cut(&String::from_utf8_lossy(value))).unwrap();
        }
    }
    out
}

/// JSON with a line for whatever fits on one.
fn pretty(value: &Value, depth: usize, out: &mut String) {
    let flat = value.to_string();
    let short = flat.len() + 2 * depth <= LINE_MAX && !flat.contains("\"@@ line");
    let inner = "  ".repeat(depth + 1);
    match value {
        Value::Object(members) if !short => {
            out.push_str("{\n");
            for (name, member) in members {
                write!(out, "{inner}{name:?}: ").unwrap();
                pretty(member, depth + 1, out);
                out.push('\n');
            }
            write!(out, "{}}}", "  ".repeat(depth)).unwrap();
        }
        Value::Array(items) if !short => {
            out.push_str("[\n");
            for item in items {
                out.push_str(&inner);
                pretty(item, depth + 1, out);
                out.push('\n');
            }
            write!(out, "{}]", "  ".repeat(depth)).unwrap();
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => out.push_str(&flat),
    }
}

/// Makes what no person reads short, and what is the message in Base64 a difference to it.
fn shorten(value: &mut Value, raw: &[u8]) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| shorten(item, raw)),
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                match in_base64(name, member) {
                    // The message itself, edited or not.
                    Some(bytes) if matches!(name.as_str(), "Data" | "raw") => {
                        let lines = difference(raw, &bytes);
                        *member = lines.lines().map(|it| Value::String(it.to_owned())).collect();
                    }
                    Some(bytes) => *member = Value::String(summary(&bytes)),
                    None => shorten(member, raw),
                }
            }
        }
        Value::String(text) => *text = cut(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What a member that holds Base64 stands for, unless it is short enough to be shown as it is.
fn in_base64(name: &str, member: &Value) -> Option<Vec<u8>> {
    let text = member.as_str().filter(|text| text.len() >= SHORTENED_FROM)?;
    let encoded = matches!(name, "content" | "Content" | "Data" | "raw");
    encoded.then(|| STANDARD.decode(text).ok())?
}

/// Length, beginning, hash.
fn summary(bytes: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, bytes);
    let hash: String = hash.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let beginning = &bytes[..bytes.len().min(24)];
    let beginning = match str::from_utf8(bytes) {
        Ok(_) => lossy(beginning).trim_end_matches(char::REPLACEMENT_CHARACTER).to_owned(),
        Err(_) => beginning.escape_ascii().to_string(),
    };
    format!("{} octets <{beginning}> sha256 {hash}", bytes.len())
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn cut(text: &str) -> String {
    let end = text.char_indices().nth(SHOWN_MAX).map(|(at, _)| at);
    match end.and_then(|end| text.get(..end)) {
        Some(beginning) => {
            let hash = digest::digest(&digest::SHA256, text.as_bytes());
            let hash: String = hash.as_ref()[..4].iter().map(|it| format!("{it:02x}")).collect();
            format!("{beginning}… ({} octets, sha256 {hash})", text.len())
        }
        None => text.to_owned(),
    }
}

/// The lines that were taken away or came in, each with the line before it. Nothing means: every octet is as it was.
fn difference(before: &[u8], after: &[u8]) -> String {
    if before == after {
        return "every octet as it was\n".to_owned();
    }
    let (old, new) = (lines(before), lines(after));
    let mut out = String::new();
    let (mut i, mut j, mut told) = (0, 0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
            continue;
        }
        // The nearest pair of equal lines from here on.
        let ahead = nearest(&old[i..], &new[j..]);
        if told != i || i == 0 {
            writeln!(out, "@@ line {}", i + 1).unwrap();
        }
        for line in &old[i..i + ahead.0] {
            writeln!(out, "-{}", visible(line)).unwrap();
        }
        for line in &new[j..j + ahead.1] {
            writeln!(out, "+{}", visible(line)).unwrap();
        }
        (i, j) = (i + ahead.0, j + ahead.1);
        told = i;
    }
    out
}

/// How many lines of each side stand before the next pair of equal ones; all of them where there is none.
fn nearest(old: &[&[u8]], new: &[&[u8]]) -> (usize, usize) {
    for distance in 1..=old.len() + new.len() {
        for from_old in 0..=distance.min(old.len()) {
            let from_new = distance - from_old;
            if let (Some(a), Some(b)) = (old.get(from_old), new.get(from_new))
                && a == b
            {
                return (from_old, from_new);
            }
        }
    }
    (old.len(), new.len())
}

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n').collect()
}

/// A line without its CRLF; any other end is shown.
fn visible(line: &[u8]) -> String {
    let text =
        line.strip_suffix(b"\r\n").map_or_else(|| lossy(line).escape_debug().to_string(), lossy);
    cut(&text.replace('\r', "\\r").replace('\0', "\\0"))
}
