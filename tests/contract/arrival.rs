//! What stands in the requests is the message, and they go to its recipients.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::fmt::rfc2822;
use mailferry::config::ProviderKind;
use mailferry::message::{Address, Email};
use mailferry::provider::Call;
use serde_json::{Value, json};

use crate::described::everything;
use crate::letters::{HIDDEN, NOTHING_ADDED_YET, Sample, awkward, corpus};
use crate::specs::form;
use crate::support::nowhere;

const ALL: [ProviderKind; 7] = [
    ProviderKind::Resend,
    ProviderKind::SendGrid,
    ProviderKind::Ses,
    ProviderKind::Mailgun,
    ProviderKind::Postmark,
    ProviderKind::Brevo,
    ProviderKind::Webhook,
];
/// They get the message as it is, with what is missing added.
const RAW: [ProviderKind; 2] = [ProviderKind::Mailgun, ProviderKind::Webhook];

/// The request as an object; of a form, the recipients and the file.
fn json(call: &Call) -> Value {
    if call.content_type == "application/json" {
        return serde_json::from_slice(&call.body).unwrap();
    }
    let mut object = json!({"to": []});
    for field in form::read(Some(&call.content_type), &call.body).unwrap() {
        match field.name.as_str() {
            "to" => {
                let to = String::from_utf8(field.content).unwrap();
                object["to"].as_array_mut().unwrap().push(to.into());
            }
            "message" => object["message"] = STANDARD.encode(field.content).into(),
            // Who else gets it, no option can say.
            name => assert!(name.starts_with("o:") || name.starts_with("v:"), "{name}"),
        }
    }
    object
}

/// The MIME that a provider gets which takes it.
fn mime(kind: ProviderKind, call: &Call) -> Option<Vec<u8>> {
    let request = json(call);
    let encoded = match kind {
        ProviderKind::Ses => &request["Content"]["Raw"]["Data"],
        ProviderKind::Mailgun => &request["message"],
        ProviderKind::Webhook => &request["data"]["raw"],
        ProviderKind::Resend
        | ProviderKind::SendGrid
        | ProviderKind::Postmark
        | ProviderKind::Brevo
        | ProviderKind::Smtp
        | ProviderKind::Capture => return None,
    };
    Some(STANDARD.decode(encoded.as_str().unwrap()).unwrap())
}

/// The addresses of a list: texts, texts with names, or objects.
fn addresses(list: &Value) -> Vec<String> {
    let each = list.as_array().into_iter().flatten().map(|item| {
        let text = item.as_str().or(item["email"].as_str()).unwrap();
        text.rsplit_once('<').map_or(text, |(_, rest)| rest.trim_end_matches('>')).to_owned()
    });
    each.collect()
}

/// The addresses of a text with commas between them. A name in quotes may have some too.
fn addresses_of_text(text: &Value) -> Vec<String> {
    let mut quoted = false;
    let texts = text.as_str().unwrap_or_default().split(|c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    });
    let texts: Vec<&str> = texts.map(str::trim).filter(|text| !text.is_empty()).collect();
    addresses(&Value::from(texts))
}

/// Who gets this request and sees it, and who gets it unseen.
fn readers(kind: ProviderKind, request: &Value) -> (Vec<String>, Vec<String>) {
    let (place, names) = match kind {
        ProviderKind::Resend | ProviderKind::Brevo => (request, ["to", "cc", "bcc"]),
        ProviderKind::SendGrid => {
            // One for all, or one for each where X-SMTPAPI has values for single recipients.
            let each = request["personalizations"].as_array().unwrap().iter();
            let gather = |name: &str| each.clone().flat_map(|one| addresses(&one[name])).collect();
            let [to, cc, bcc]: [Vec<String>; 3] = ["to", "cc", "bcc"].map(gather);
            return ([to, cc].concat(), bcc);
        }
        ProviderKind::Ses => {
            (&request["Destination"], ["ToAddresses", "CcAddresses", "BccAddresses"])
        }
        ProviderKind::Postmark => {
            let [to, cc, bcc] = ["To", "Cc", "Bcc"].map(|name| addresses_of_text(&request[name]));
            return ([to, cc].concat(), bcc);
        }
        // Only the header shows anybody.
        ProviderKind::Mailgun => return (Vec::new(), addresses(&request["to"])),
        ProviderKind::Webhook => {
            return (Vec::new(), addresses(&request["data"]["envelope"]["recipients"]));
        }
        ProviderKind::Smtp | ProviderKind::Capture => unreachable!("not in this suite"),
    };
    let [to, cc, bcc] = names.map(|name| addresses(&place[name]));
    ([to, cc].concat(), bcc)
}

/// A spelling that all spellings of a recipient share, as the services compare.
fn key(address: &str) -> String {
    let address: Address = address.parse().unwrap();
    let domain = idna::domain_to_ascii(address.domain()).unwrap();
    format!("{}@{domain}", address.local_part()).to_lowercase()
}

#[test]
fn the_calls_go_to_everybody_in_the_envelope_and_to_nobody_else() {
    for kind in ALL {
        let provider = nowhere(kind);
        for sample in everything() {
            let Ok(calls) = sample.calls(&*provider) else { continue };
            let served = calls.iter().flat_map(|call| {
                let (seen, unseen) = readers(kind, &json(call));
                [seen, unseen].concat()
            });
            let served: BTreeSet<_> = served.map(|address| key(&address)).collect();
            let envelope = sample.envelope.recipients.iter();
            let envelope: BTreeSet<_> = envelope.map(|address| key(address.as_str())).collect();
            assert_eq!(served, envelope, "{kind}: {}", sample.name);
        }
    }
}

#[test]
fn nobody_sees_a_recipient_whom_the_message_hides() {
    for kind in ALL {
        let provider = nowhere(kind);
        for sample in corpus() {
            for call in sample.calls(&*provider).unwrap_or_default() {
                let (seen, unseen) = readers(kind, &json(&call));
                if seen == [HIDDEN] {
                    assert_eq!(unseen, Vec::<String>::new(), "{kind}: {}", sample.name);
                    continue;
                }
                let text = String::from_utf8_lossy(&call.body);
                let places = text.matches(HIDDEN).count();
                assert_eq!(places, unseen.len().min(1), "{kind}: {}", sample.name);
                if let Some(mime) = mime(kind, &call) {
                    let mime = String::from_utf8_lossy(&mime);
                    assert!(!mime.contains(HIDDEN), "{kind}: {}", sample.name);
                }
            }
        }
    }
}

/// Everybody whom a message names, with domains in ASCII.
fn people(email: &Email) -> Vec<(String, String)> {
    let all = [&email.from, &email.reply_to, &email.to, &email.cc].into_iter().flatten();
    let ascii = |address: &str| {
        let (local, domain) = address.rsplit_once('@').unwrap();
        format!("{local}@{}", idna::domain_to_ascii(domain).unwrap())
    };
    all.map(|mailbox| (mailbox.name.clone(), ascii(&mailbox.address))).collect()
}

/// The bodies and files. A message within the message has a 7-bit way too, so it is read as well.
fn content(email: &Email) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for text in [&email.text, &email.html] {
        all.push(format!("{text:?}").into_bytes());
    }
    for file in &email.attachments {
        all.push(format!("{:?}", (&file.filename, &file.content_id, file.inline)).into_bytes());
        all.push(file.content_type.clone().into_bytes());
        if file.content_type == "message/rfc822" {
            let within = Email::parse(&file.bytes);
            all.push(within.subject.clone().into_bytes());
            all.extend(content(&within));
        } else {
            all.push(file.bytes.to_vec());
        }
    }
    all
}

#[test]
fn what_ses_gets_is_seven_bit_and_reads_as_the_message() {
    let provider = nowhere(ProviderKind::Ses);
    for sample in everything() {
        // `described` names those that are handed back.
        for call in sample.calls(&*provider).unwrap_or_default() {
            let mime = mime(ProviderKind::Ses, &call).unwrap();
            assert!(mime.is_ascii() && !mime.contains(&0), "{}", sample.name);
            let longest = mime.split(|byte| *byte == b'\n').map(<[u8]>::len).max().unwrap();
            assert!(longest <= 999, "{}: a line of {longest} octets", sample.name);

            let (read, email) = (Email::parse(&mime), &sample.email);
            assert_eq!(people(&read), people(email), "{}", sample.name);
            assert_eq!(read.subject, email.subject, "{}", sample.name);
            assert_eq!(content(&read), content(email), "{}", sample.name);
        }
    }
}

#[test]
fn what_takes_the_message_as_it_is_gets_every_octet_of_its_body() {
    for kind in RAW {
        let provider = nowhere(kind);
        for sample in everything() {
            // `described` names those that are handed back.
            for call in sample.calls(&*provider).unwrap_or_default() {
                let mime = mime(kind, &call).unwrap();
                let empty_line = sample.raw.windows(4).position(|it| it == b"\r\n\r\n");
                let body = empty_line.map_or(&[][..], |at| &sample.raw[at..]);
                assert!(mime.ends_with(body), "{kind}: {}", sample.name);
                let (read, email) = (Email::parse(&mime), &sample.email);
                assert_eq!(read.subject, email.subject, "{kind}: {}", sample.name);
                assert_eq!(content(&read), content(email), "{kind}: {}", sample.name);
            }
        }
    }
}

#[test]
fn what_mail_to_ses_lacks_is_added_the_same_each_time() {
    let provider = nowhere(ProviderKind::Ses);
    let sample: Sample =
        awkward().into_iter().find(|sample| sample.name == NOTHING_ADDED_YET).unwrap();
    let mime = |sample: &Sample| mime(ProviderKind::Ses, &sample.call(&*provider)).unwrap();
    let first = mime(&sample);
    assert_eq!(first, mime(&sample.clone()));

    let text = String::from_utf8(first).unwrap();
    let header = String::from_utf8(sample.raw.clone()).unwrap();
    let added = text.strip_prefix(header.strip_suffix("\r\n").unwrap()).unwrap();
    let expected = format!(
        "Date: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{}@example.org>\r\n\r\n",
        sample.id
    );
    assert_eq!(added, expected);
    let date = added.strip_prefix("Date: ").unwrap().lines().next().unwrap();
    assert_eq!(rfc2822::parse(date).unwrap().timestamp(), sample.received_at);
}
