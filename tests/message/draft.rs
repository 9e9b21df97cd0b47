//! Messages composed here.

use mailferry::clock::Timestamp;
use mailferry::message::{Attachment, Draft, Email, Mailbox};

fn mailbox(name: &str, address: &str) -> Mailbox {
    Mailbox { name: name.to_owned(), address: address.to_owned() }
}

fn now() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

fn draft() -> Draft {
    Draft {
        from: mailbox("홍길동", "hong@example.kr"),
        to: vec![mailbox("Lovelace, Ada", "ada@example.org"), mailbox("", "grace@예시.한국")],
        subject: "시험 메일".to_owned(),
        text: Some("안녕하세요\n".to_owned()),
        html: Some("<p>안녕하세요</p><img src=\"cid:logo\">".to_owned()),
        attachments: vec![
            Attachment {
                filename: "2026년 보고서.csv".to_owned(),
                content_type: "text/csv; charset=utf-8".to_owned(),
                bytes: "가,나\n1,2\n".into(),
                ..Attachment::default()
            },
            Attachment {
                filename: "logo.png".to_owned(),
                content_type: "image/png".to_owned(),
                content_id: Some("logo".to_owned()),
                inline: true,
                bytes: vec![0, 159, 255].into(),
                ..Attachment::default()
            },
        ],
        ..Draft::default()
    }
}

#[test]
fn what_is_composed_reads_the_same() {
    let submission = draft().compose(now()).unwrap();
    let email = Email::parse(&submission.raw);
    let given = draft();
    assert_eq!(email.from, [given.from]);
    assert_eq!(email.to[0], given.to[0]);
    assert_eq!(email.to[1].address, "grace@xn--vv4b11d.xn--3e0b707e");
    assert_eq!(email.subject, given.subject);
    assert_eq!((email.text, email.html), (given.text, given.html));
    let [csv, logo] = &given.attachments[..] else { panic!() };
    assert_eq!(email.attachments, [logo.clone(), csv.clone()]);
    assert_eq!(email.losses, []);

    let envelope = submission.envelope;
    assert_eq!(envelope.sender_text(), "hong@example.kr");
    assert_eq!(envelope.recipients[1].as_str(), "grace@예시.한국");
    assert!(envelope.smtp_utf8);
    assert!(submission.raw.is_ascii());
    assert!(!String::from_utf8_lossy(&submission.raw).replace("\r\n", "").contains('\n'));
}

#[test]
fn date_and_message_id_are_set() {
    let email = Email::parse(&draft().compose(now()).unwrap().raw);
    let header = |name: &str| email.headers.iter().find(|(it, _)| it == name).unwrap().1.clone();
    assert_eq!(header("Date"), "Sat, 21 Nov 2026 10:00:00 +0000");
    assert!(header("Message-ID").ends_with("@example.kr>"));
    let other = Email::parse(&draft().compose(now()).unwrap().raw);
    assert_ne!(email.headers, other.headers, "two messages are two, though composed at once");
}

#[test]
fn text_or_html_alone_and_neither_are_valid() {
    for (text, html) in [(Some("text"), None), (None, Some("<p>html</p>")), (None, None)] {
        let draft = Draft {
            text: text.map(str::to_owned),
            html: html.map(str::to_owned),
            attachments: vec![],
            ..draft()
        };
        let email = Email::parse(&draft.compose(now()).unwrap().raw);
        assert_eq!((email.text.as_deref(), email.html.as_deref()), (text, html));
    }
}

#[test]
fn a_fault_is_named_with_its_field() {
    type Change = fn(&mut Draft);
    let cases: [(Change, &str); 9] = [
        (
            |it| it.from.address = "nobody".into(),
            "from: \"nobody\" is not an address of the form local@domain",
        ),
        (
            |it| it.to[0].address = "a b@x.org".into(),
            "to: \"a b@x.org\" is not an address of the form local@domain",
        ),
        (|it| it.to.clear(), "to: at least one recipient is needed"),
        (
            |it| it.subject = "a\r\nBcc: x@x.org".into(),
            "subject: line breaks and control characters are not allowed",
        ),
        (
            |it| it.from.name = "a\nb".into(),
            "from: line breaks and control characters are not allowed",
        ),
        (
            |it| it.to[1].name = "a\0b".into(),
            "to: line breaks and control characters are not allowed",
        ),
        (
            |it| it.attachments[0].filename = "a\nb".into(),
            "attachment name: line breaks and control characters are not allowed",
        ),
        (
            |it| it.attachments[0].content_type = "pdf".into(),
            "attachment content type: \"pdf\" is not a media type",
        ),
        (
            |it| it.attachments[1].content_id = Some("a> b".into()),
            "attachment content id: \"a> b\" is not an id",
        ),
    ];
    for (change, message) in cases {
        let mut draft = draft();
        change(&mut draft);
        assert_eq!(draft.compose(now()).unwrap_err().to_string(), message);
    }
}

#[test]
fn copies_answers_and_further_fields_are_written() {
    let fields = [("X-Campaign", "봄"), ("List-Unsubscribe", "<https://example.org/u?id=1>")];
    let draft = Draft {
        cc: vec![mailbox("Carol", "carol@example.org"), mailbox("", "ada@EXAMPLE.org")],
        bcc: vec![mailbox("Dave", "dave@example.org")],
        reply_to: vec![mailbox("Help", "help@example.org")],
        headers: fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        ..draft()
    };
    let submission = draft.clone().compose(now()).unwrap();
    let email = Email::parse(&submission.raw);
    assert_eq!((email.cc, email.reply_to), (draft.cc, draft.reply_to));
    let raw = String::from_utf8(submission.raw.to_vec()).unwrap();
    assert!(raw.contains("\r\nList-Unsubscribe: <https://example.org/u?id=1>\r\n"), "{raw}");
    assert!(raw.is_ascii() && !raw.contains("dave"), "{raw}");
    let recipients: Vec<_> = submission.envelope.recipients.iter().map(|it| it.as_str()).collect();
    assert_eq!(
        recipients,
        ["ada@example.org", "grace@예시.한국", "carol@example.org", "dave@example.org"]
    );
}

#[test]
fn who_is_only_in_bcc_is_nowhere_in_the_message() {
    let bcc = vec![mailbox("", "dave@example.org")];
    let submission = Draft { to: Vec::new(), bcc, ..draft() }.compose(now()).unwrap();
    let raw = String::from_utf8(submission.raw.to_vec()).unwrap();
    assert!(!raw.contains("\r\nTo:") && !raw.contains("dave"), "{raw}");
    assert_eq!(submission.envelope.recipients.len(), 1);
}

#[test]
fn fields_that_are_not_the_drafts_are_refused() {
    let long = "x".repeat(901);
    for (name, value) in [
        ("To", "eve@example.org"),
        ("bcc", "eve@example.org"),
        ("Content-Type", "text/html"),
        ("Message-ID", "<1@example.org>"),
        ("DKIM-Signature", "v=1"),
        ("Resent-From", "eve@example.org"),
        ("", "x"),
        ("X A", "x"),
        ("X-Ä", "x"),
        ("X-A:", "x"),
        ("X-A", "x\r\nBcc: eve@example.org"),
        ("X-A", "x\0"),
        ("X-A", &long),
    ] {
        let headers = vec![(name.to_owned(), value.to_owned())];
        let error = Draft { headers, ..draft() }.compose(now()).unwrap_err();
        assert!(error.to_string().starts_with("headers: "), "{name}: {error}");
    }
}
