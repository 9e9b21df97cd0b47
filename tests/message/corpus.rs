//! Every message of `tests/mail`, held against its snapshot, against a second parser, and against the README there.

use std::fmt::Write as _;

use mail_parser::{MessageParser, MimeHeaders as _, PartType};
use mailferry::message::{Email, IndexFields, Mailbox, Protection};

use super::{corpus, corpus_names};

fn people(list: &[Mailbox]) -> String {
    let each = list.iter().map(|it| format!("{} <{}>", it.name, it.address));
    each.collect::<Vec<_>>().join(", ")
}

/// An [`Email`] as a text that a reviewer can compare with the message.
fn shown(email: &Email) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: &str| writeln!(out, "{name}: {value}").unwrap();
    line("from", &people(&email.from));
    if let Some(sender) = &email.sender {
        line("sender", &people(std::slice::from_ref(sender)));
    }
    line("reply-to", &people(&email.reply_to));
    line("to", &people(&email.to));
    line("cc", &people(&email.cc));
    line("subject", &email.subject);
    line("protection", &format!("{:?}", email.protection));
    line("text", &format!("{:?}", email.text));
    line("html", &format!("{:?}", email.html));
    for it in &email.attachments {
        let id = it.content_id.as_deref().unwrap_or("-");
        let kind = if it.inline { "inline" } else { "file" };
        line("attachment", &format!("{} [{}] {kind} {id}", it.filename, it.content_type));
        let beginning = String::from_utf8_lossy(&it.bytes[..it.bytes.len().min(80)]);
        line("  bytes", &format!("{} {beginning:?}", it.bytes.len()));
    }
    for (name, value) in &email.headers {
        line("header", &format!("{name}: {value}"));
    }
    for loss in &email.losses {
        line("loss", &format!("{}: {}", loss.what, loss.why));
    }
    out
}

#[test]
fn every_message_reads_as_it_did() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../mail/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    for name in corpus_names() {
        let email = Email::parse(&corpus(&name));
        settings.bind(|| insta::assert_snapshot!(name.as_str(), shown(&email)));
    }
}

#[test]
fn the_readme_names_every_message() {
    let path = format!("{}/tests/mail/README.md", env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(path).unwrap();
    let rows: Vec<&str> =
        readme.lines().filter_map(|row| row.strip_prefix("| ")?.split(".eml").next()).collect();
    let names = corpus_names();
    assert!(names.len() >= 25);
    assert_eq!(
        rows.into_iter().filter(|row| *row != "file | what is odd |").collect::<Vec<_>>(),
        names
    );
}

#[test]
fn korean_arrives_as_it_was_written() {
    let email = Email::parse(&corpus("lemmy-alternative"));
    assert_eq!(email.subject, "이메일 인증");
    assert_eq!(email.to, [Mailbox { name: "홍길동".into(), address: "hong@example.kr".into() }]);
    assert!(email.text.unwrap().starts_with("아래 링크를 눌러"));
    assert!(email.html.unwrap().contains(">인증</a>"));

    let email = Email::parse(&corpus("outlook-related-in-mixed"));
    assert_eq!(email.subject, "회의 자료 송부");
    assert_eq!(email.from[0].name, "홍길동");
    assert_eq!(email.attachments[1].filename, "회의록.pdf");
    assert!(email.attachments[0].inline);

    let email = Email::parse(&corpus("euc-kr-8bit"));
    assert_eq!(email.subject, "가입을 축하합니다");
    assert_eq!(email.from[0].name, "홍길동");
    assert_eq!(email.text.unwrap(), "안녕하세요, 김철수님.\n똠방각하\n");

    let email = Email::parse(&corpus("korean-name-rfc2231"));
    assert_eq!(email.attachments[0].filename, "2026년 4분기 보고서 (최종).pdf");
    assert_eq!(email.attachments[1].filename, "메모.txt");
    // The file is EUC-KR and stays it.
    assert!(email.attachments[1].bytes.starts_with(b"\xb8\xde\xb8\xf0"));
    assert_eq!(email.attachments[1].content_type, "text/plain; charset=euc-kr");

    let email = Email::parse(&corpus("korean-name-rfc2047"));
    let names: Vec<_> = email.attachments.iter().map(|it| it.filename.as_str()).collect();
    assert_eq!(names, ["2026년 예산.xlsx", "사진 1.png"]);
    assert_eq!(email.subject, "첨부파일 이름이 긴메일");
}

#[test]
fn a_file_name_is_no_parameter_of_the_type() {
    let email = Email::parse(&corpus("rails-inline-image"));
    let types: Vec<_> = email.attachments.iter().map(|it| it.content_type.as_str()).collect();
    assert_eq!(types, ["image/png", "application/pdf"]);
    let email = Email::parse(
        b"Content-Type: application/pdf; filename=\"=?utf-8?B?6rCALnBkZg==?=\"\r\n\r\n%PDF",
    );
    assert_eq!(email.attachments[0].filename, "\u{ac00}.pdf");
}

#[test]
fn signed_and_encrypted_mail_is_told_apart() {
    for (name, protection) in [
        ("pgp-signed", Protection::Signed),
        ("smime-signed", Protection::Signed),
        ("pgp-encrypted", Protection::Encrypted),
        ("forwarded-message", Protection::None),
    ] {
        assert_eq!(Email::parse(&corpus(name)).protection, protection, "{name}");
    }
}

#[test]
fn the_index_fields_agree_with_the_parsed_message() {
    for name in corpus_names() {
        let raw = corpus(&name);
        let (email, index) = (Email::parse(&raw), IndexFields::read(&raw));
        if name != "euc-kr-8bit" {
            // There the charset of the header is stated in the body's, which acceptance does not look for.
            assert_eq!(index.subject, email.subject, "{name}");
        }
        let id = email.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("message-id"));
        let id = id.map_or("", |(_, value)| value.trim_matches(['<', '>']));
        assert_eq!(index.message_id, id, "{name}");
    }
}

/// Where mail-parser reads something else, and why that is right.
const DIFFERENT: [(&str, &str); 18] = [
    ("bad-quoted-printable: text", "it drops a blank behind a lone equals sign"),
    ("charset-says-ascii: text", "it takes ASCII at its word"),
    ("delsp-flowed: text", "we join flowed lines"),
    ("duplicate-headers: subject", "the last counts there"),
    ("duplicate-headers: from", "the last counts there"),
    ("euc-kr-8bit: subject", "raw EUC-KR in the header"),
    ("flowed: text", "we join flowed lines"),
    ("headers-folded-oddly: subject", "blanks of a fold"),
    ("inline-without-cid: text", "a text with a file name is a file"),
    ("mutt-flowed: text", "we join flowed lines"),
    ("preamble-epilogue: text", "a part without fields"),
    ("py-hz: text", "it does not know the charset"),
    ("py-iso-2022-kr: text", "it does not know the charset"),
    ("sloppy: subject", "it decodes the two halves of a character each alone"),
    ("subject-encoded-faults: subject", "encoded words in quotes"),
    ("swift-japanese: subject", "raw ISO-2022-JP in the header"),
    ("thunderbird-inline: text", "we join flowed lines"),
    ("utf-7: text", "a minus behind a plus is not shown"),
];

/// mail-parser reads whole messages too. Where it has no known fault (see below) both must find the same.
#[test]
fn a_second_parser_finds_the_same() {
    let mut different = Vec::new();
    for name in corpus_names() {
        let raw = corpus(&name);
        let Some(theirs) = MessageParser::default().parse(&raw) else { continue };
        let ours = Email::parse(&raw);
        if theirs.subject().unwrap_or_default() != ours.subject {
            different.push(format!("{name}: subject"));
        }
        let from = theirs.from().and_then(|from| from.first()).and_then(|it| it.address());
        if from != ours.from.first().map(|it| it.address.as_str()) {
            different.push(format!("{name}: from"));
        }
        let text = |part: &mail_parser::MessagePart<'_>| match &part.body {
            PartType::Text(text) if part.is_content_type("text", "plain") => Some(text.to_string()),
            _ => None,
        };
        if let Some(part) = theirs.parts.iter().filter(|part| !is_file(part)).find_map(text) {
            let part = part.replace("\r\n", "\n");
            let mine = ours.text.unwrap_or_default();
            if !mine.starts_with(part.trim_end()) {
                different.push(format!("{name}: text"));
            }
        }
    }
    assert_eq!(different, DIFFERENT.map(|(what, _)| what));
}

fn is_file(part: &mail_parser::MessagePart<'_>) -> bool {
    part.content_disposition().is_some_and(mail_parser::ContentType::is_attachment)
}
