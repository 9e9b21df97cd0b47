//! One mail with everything that real mail has, and the check that all of it arrived.

use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

pub(crate) const FROM: &str = "hong@sender.example";
pub(crate) const FROM_NAME: &str = "홍길동 주식회사";
pub(crate) const TO: &str = "chulsoo@rcpt.example";
pub(crate) const TO_NAME: &str = "김철수";
pub(crate) const TO_PLAIN: &str = "second@rcpt.example";
pub(crate) const CC: &str = "younghee@rcpt.example";
pub(crate) const CC_NAME: &str = "이영희";
pub(crate) const BCC: &str = "secret@hidden.example";
pub(crate) const SUBJECT: &str =
    "안녕하세요, 회원 가입을 환영합니다! 이메일 주소를 확인해 주세요 ✉ — mailferry";
pub(crate) const TEXT: &str = "안녕하세요.\n\n아래 주소를 열어 주세요:\nhttps://sender.example/verify?token=abc=def\n.\n..두 점\n끝.\n";
pub(crate) const HTML: &str = "<p>안녕하세요.</p>\n<p><a href=\"https://sender.example/verify?token=abc=def\">확인</a></p>\n<img src=\"cid:logo@sender.example\" alt=\"로고\">\n";
pub(crate) const FILE_NAME: &str = "보고서 2026년 최종.pdf";
pub(crate) const IMAGE_NAME: &str = "logo.png";
pub(crate) const IMAGE_CID: &str = "logo@sender.example";

/// Everybody in the envelope.
pub(crate) const RECIPIENTS: [&str; 4] = [TO, TO_PLAIN, CC, BCC];

/// Octets of every value, line ends and a lone dot among them.
pub(crate) fn file_bytes() -> Vec<u8> {
    let mut bytes = b"%PDF-1.4\r\n.\r\n".to_vec();
    bytes.extend((0..3000_u32).map(|i| u8::try_from(i * 7 % 256).unwrap()));
    bytes
}

/// The smallest PNG.
pub(crate) fn image_bytes() -> Vec<u8> {
    let png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    STANDARD.decode(png).unwrap()
}

/// Writes the letter's parts into a folder, for clients in other languages: `letter.json` and the files it names, and
/// the same as `letter.properties` for Java, which has no JSON of its own.
pub(crate) fn write_parts(folder: &Path, message_id: &str) {
    std::fs::write(folder.join("report.pdf"), file_bytes()).unwrap();
    std::fs::write(folder.join("logo.png"), image_bytes()).unwrap();
    std::fs::write(folder.join("text.txt"), TEXT).unwrap();
    std::fs::write(folder.join("html.html"), HTML).unwrap();
    let letter = json!({
        "message_id": message_id,
        "from": {"name": FROM_NAME, "address": FROM},
        "to": [{"name": TO_NAME, "address": TO}, {"name": "", "address": TO_PLAIN}],
        "cc": [{"name": CC_NAME, "address": CC}],
        "bcc": [{"name": "", "address": BCC}],
        "subject": SUBJECT,
        "text": TEXT,
        "html": HTML,
        "attachment": {"path": "report.pdf", "filename": FILE_NAME, "type": "application/pdf"},
        "image": {"path": "logo.png", "filename": IMAGE_NAME, "type": "image/png", "cid": IMAGE_CID},
    });
    std::fs::write(folder.join("letter.json"), letter.to_string()).unwrap();
    let mut properties = String::new();
    flatten("", &letter, &mut properties);
    std::fs::write(folder.join("letter.properties"), properties).unwrap();
}

/// `{"to": [{"name": "A"}]}` becomes `to.0.name=A`.
fn flatten(path: &str, value: &Value, lines: &mut String) {
    let below = |key: &str| {
        if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
    };
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| flatten(&below(key), value, lines));
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(number, value)| flatten(&below(&number.to_string()), value, lines)),
        Value::String(text) => {
            let text = text.replace('\\', "\\\\").replace('\n', "\\n");
            // Writing to a String does not fail.
            let _ = writeln!(lines, "{path}={text}");
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => panic!("{path} is no text: {value}"),
    }
}

/// An encoded word of RFC 2047.
pub(crate) fn encoded_word(text: &str) -> String {
    format!("=?UTF-8?B?{}?=", STANDARD.encode(text))
}

/// The whole message as a program such as msmtp gets it, with lines ended by LF; `extra` are more header lines.
pub(crate) fn eml(message_id: &str, extra: &str) -> String {
    // The subject in several words, folded: a word may have 75 characters.
    let chars: Vec<char> = SUBJECT.chars().collect();
    let words: Vec<String> =
        chars.chunks(14).map(|chunk| encoded_word(&chunk.iter().collect::<String>())).collect();
    let file_name: String = FILE_NAME.bytes().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "%{byte:02X}");
        text
    });
    format!(
        "From: {from_name} <{FROM}>\nTo: {to_name} <{TO}>,\n {TO_PLAIN}\nCc: {cc_name} <{CC}>\n{extra}\
         Subject: {subject}\nMessage-ID: <{message_id}>\nDate: Sat, 21 Nov 2026 10:00:00 +0900\nX-Campaign: welcome\n\
         MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"outer\"\n\n\
         --outer\nContent-Type: multipart/related; boundary=\"middle\"\n\n\
         --middle\nContent-Type: multipart/alternative; boundary=\"inner\"\n\n\
         --inner\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n{text}\n\
         --inner\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\n\n{html}\n\
         --inner--\n\
         --middle\nContent-Type: image/png; name=\"{IMAGE_NAME}\"\nContent-Transfer-Encoding: base64\n\
         Content-ID: <{IMAGE_CID}>\nContent-Disposition: inline; filename=\"{IMAGE_NAME}\"\n\n{image}\n\
         --middle--\n\
         --outer\nContent-Type: application/pdf\nContent-Transfer-Encoding: base64\n\
         Content-Disposition: attachment;\n filename*=utf-8''{file_name}\n\n{file}\n\
         --outer--\n",
        from_name = encoded_word(FROM_NAME),
        to_name = encoded_word(TO_NAME),
        cc_name = encoded_word(CC_NAME),
        subject = words.join("\n "),
        text = base64_lines(TEXT.as_bytes()),
        html = base64_lines(HTML.as_bytes()),
        image = base64_lines(&image_bytes()),
        file = base64_lines(&file_bytes()),
    )
}

/// The arguments by which curl composes the letter itself, in the folder of the parts.
pub(crate) fn curl_form(message_id: &str) -> Vec<String> {
    let word = encoded_word;
    let headers = [
        format!("From: {} <{FROM}>", word(FROM_NAME)),
        format!("To: {} <{TO}>, {TO_PLAIN}", word(TO_NAME)),
        format!("Cc: {} <{CC}>", word(CC_NAME)),
        format!("Subject: {SUBJECT}"),
        format!("Message-ID: <{message_id}>"),
    ];
    let forms = [
        "=(;type=multipart/related".to_owned(),
        "=(;type=multipart/alternative".to_owned(),
        "=<text.txt;type=text/plain; charset=utf-8;encoder=base64".to_owned(),
        "=<html.html;type=text/html; charset=utf-8;encoder=quoted-printable".to_owned(),
        "=)".to_owned(),
        format!(
            "=@logo.png;type=image/png;filename={IMAGE_NAME};encoder=base64;\
             headers=\"Content-ID: <{IMAGE_CID}>\""
        ),
        "=)".to_owned(),
        format!("=@report.pdf;type=application/pdf;filename=\"{FILE_NAME}\";encoder=base64"),
    ];
    let headers = headers.into_iter().flat_map(|header| ["-H".to_owned(), header]);
    headers.chain(forms.into_iter().flat_map(|form| ["-F".to_owned(), form])).collect()
}

fn base64_lines(bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    let lines: Vec<&str> =
        text.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    lines.join("\n")
}

/// Panics unless the request that Resend got carries the whole letter, to exactly its recipients.
pub(crate) fn assert_whole(request: &Value, message_id: &str) {
    assert_eq!(mailboxes(&request["from"]), [(FROM_NAME.to_owned(), FROM.to_owned())]);
    let pair = |name: &str, address: &str| (name.to_owned(), address.to_owned());
    assert_eq!(mailboxes(&request["to"]), [pair(TO_NAME, TO), pair("", TO_PLAIN)]);
    assert_eq!(mailboxes(&request["cc"]), [pair(CC_NAME, CC)]);
    assert_eq!(mailboxes(&request["bcc"]), [pair("", BCC)]);
    assert_eq!(request["subject"], SUBJECT);
    assert_eq!(lines(&request["text"]), TEXT.trim_end());
    assert_eq!(lines(&request["html"]), HTML.trim_end());
    assert_eq!(header(request, "Message-ID"), Some(format!("<{message_id}>")));
    assert_only_in_bcc(request, BCC);

    let parts = request["attachments"].as_array().unwrap();
    assert_eq!(parts.len(), 2, "{parts:?}");
    let image = parts.iter().find(|part| part["content_id"].is_string()).unwrap();
    let file = parts.iter().find(|part| !part["content_id"].is_string()).unwrap();
    assert_eq!(image["content_id"], IMAGE_CID);
    assert_eq!(image["filename"], IMAGE_NAME);
    assert_eq!(content(image), image_bytes());
    assert_eq!(image["content_type"], "image/png");
    assert_eq!(file["filename"], FILE_NAME);
    assert_eq!(content(file), file_bytes());
    assert_eq!(file["content_type"], "application/pdf");
}

/// Panics when an address is anywhere but in the bcc field.
pub(crate) fn assert_only_in_bcc(request: &Value, address: &str) {
    let mut visible = request.clone();
    visible["bcc"] = Value::Null;
    let text = visible.to_string();
    assert!(!text.contains(address), "{address} can be seen: {text}");
    assert_eq!(header(request, "Bcc"), None);
}

/// A header that the request carries.
pub(crate) fn header(request: &Value, name: &str) -> Option<String> {
    let headers = request["headers"].as_object()?;
    let (_, value) = headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    value.as_str().map(str::to_owned)
}

/// `Name <address>` or `address`, one or a list, as pairs.
pub(crate) fn mailboxes(value: &Value) -> Vec<(String, String)> {
    let list = match value {
        Value::Array(list) => list.clone(),
        Value::Null => Vec::new(),
        one => vec![one.clone()],
    };
    list.iter()
        .map(|item| {
            let text = item.as_str().unwrap();
            match text.rsplit_once('<') {
                Some((name, address)) => {
                    let name = name.trim().trim_matches('"').to_owned();
                    (name, address.trim_end_matches('>').to_owned())
                }
                None => (String::new(), text.to_owned()),
            }
        })
        .collect()
}

/// A text with its line ends made equal and without those at its end, which clients and MIME add freely.
pub(crate) fn lines(value: &Value) -> String {
    value.as_str().unwrap_or_default().replace("\r\n", "\n").trim_end().to_owned()
}

fn content(part: &Value) -> Vec<u8> {
    STANDARD.decode(part["content"].as_str().unwrap()).unwrap()
}
