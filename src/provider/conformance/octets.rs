//! Octets that no text should have: every provider carries them, or says why not.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::*;
use crate::message::Email;

/// A message whose parts are these octets.
fn message(text: &[u8], data: &[u8]) -> Sample {
    let line = text.split(|octet| b"\r\n".contains(octet)).next().unwrap_or_default();
    let raw = [
        b"From: Ada <ada@example.org>\r\nTo: Bob <bob@example.net>\r\nSubject: Tea\r\nX-Odd: ",
        line.get(..100).unwrap_or(line),
        b"\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.org>\r\nMIME-Version: 1.0\r\n\
          Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
          Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: binary\r\n\r\n",
        text,
        b"\r\n--b\r\nContent-Type: application/pdf; name=a.pdf\r\n\
          Content-Transfer-Encoding: binary\r\n\r\n",
        data,
        b"\r\n--b--\r\n",
    ]
    .concat();
    let email = Email::parse(&raw);
    Sample { raw, email, ..Sample::plain() }
}

/// The octets of the attachment in a call.
fn carried(kind: ProviderKind, call: &Call) -> Vec<u8> {
    // A form is none.
    let json: Value = serde_json::from_slice(&call.body).unwrap_or_default();
    let decoded = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
    match kind {
        ProviderKind::Resend | ProviderKind::SendGrid => {
            decoded(&json["attachments"][0]["content"])
        }
        ProviderKind::Postmark => decoded(&json["Attachments"][0]["Content"]),
        ProviderKind::Brevo => decoded(&json["attachment"][0]["content"]),
        ProviderKind::Ses => {
            let raw = decoded(&json["Content"]["Raw"]["Data"]);
            assert!(raw.is_ascii() && !raw.contains(&0), "a 7-bit way");
            Email::parse(&raw).attachments[0].bytes.to_vec()
        }
        ProviderKind::Mailgun => {
            let head = b"Content-Type: application/octet-stream\r\n\r\n";
            let begin = memchr::memmem::find(&call.body, head).unwrap() + head.len();
            let boundary = call.content_type.split_once("boundary=").unwrap().1;
            let end = call.body.len() - format!("\r\n--{boundary}--\r\n").len();
            Email::parse(&call.body[begin..end]).attachments[0].bytes.to_vec()
        }
        ProviderKind::Webhook => {
            Email::parse(&decoded(&json["data"]["raw"])).attachments[0].bytes.to_vec()
        }
        ProviderKind::Smtp | ProviderKind::Capture => unreachable!("not in this suite"),
    }
}

#[test]
fn binary_parts_arrive_octet_by_octet() {
    let all: Vec<u8> = (0..=255).collect();
    for data in [&all[..], b"a\nb\rc\r\nd", b"\0", b".\r\n.\n", b"\n", b"\r", b"plain"] {
        for kind in KINDS {
            let sample = message(b"text\r\n", data);
            let call = made(&config(kind)).prepare(&sample.letter()).unwrap();
            assert_eq!(carried(kind, &call), data, "{kind}");
        }
    }
}

#[test]
fn nul_and_broken_utf_8_make_a_call_or_a_reason() {
    for text in [
        &b"\0"[..],
        b"a\0b",
        b"\xED\xA0\x80",
        b"\xED\xB0\x80 x",
        b"\xC3",
        b"\xFF\xFE",
        b"bare \r and \n",
    ] {
        for kind in KINDS {
            match made(&config(kind)).prepare(&message(text, text).letter()) {
                Ok(call) => assert_eq!(carried(kind, &call), text, "{kind}"),
                Err(unfit) => assert!(!unfit.reason.is_empty(), "{kind}"),
            }
        }
    }
}

#[test]
fn a_line_of_ten_megabytes_makes_a_call_or_a_reason() {
    let line = vec![b'x'; 10_000_000];
    for kind in KINDS {
        match made(&config(kind)).prepare(&message(&line, b"data").letter()) {
            Ok(call) => {
                assert!(call.body.len() > line.len(), "{kind}: kept whole");
                assert_eq!(carried(kind, &call), b"data", "{kind}");
            }
            Err(unfit) => {
                let size = unfit.reason.contains("MB") || unfit.reason.contains("the API takes");
                assert!(size, "{kind}: {unfit}");
            }
        }
    }
}
