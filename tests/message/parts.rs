//! Attachments: names, types, bytes, and what is shown inline.

use mailferry::message::{Attachment, Email};

use super::{corpus, mail};

fn attachment(part: &str) -> Attachment {
    let text =
        format!("Content-Type: multipart/mixed; boundary=m\n\n--m\n\ntext\n--m\n{part}\n--m--\n");
    let mut email = Email::parse(&mail(&text));
    assert_eq!(email.text.as_deref(), Some("text"));
    assert_eq!(email.attachments.len(), 1, "{part}");
    email.attachments.remove(0)
}

#[test]
fn a_file_without_a_name_gets_one_that_fits_its_type() {
    for (fields, name, content_type) in [
        ("Content-Type: application/pdf\n", "attachment-1.pdf", "application/pdf"),
        ("Content-Type: image/png; x=1\n", "image-1.png", "image/png; x=1"),
        (
            "Content-Type: text/calendar; method=REPLY\n",
            "invite.ics",
            "text/calendar; method=REPLY",
        ),
        ("Content-Type: message/rfc822\n", "message-1.eml", "message/rfc822"),
        ("Content-Type: application/x-nobody\n", "attachment-1.dat", "application/x-nobody"),
        ("Content-Disposition: attachment\n", "attachment-1.dat", "application/octet-stream"),
        ("Content-Disposition: attachment; filename=a.PNG\n", "a.PNG", "image/png"),
        ("Content-Type: image/png; name=b.png; charset=\"\"\n", "b.png", "image/png; charset=\"\""),
        (
            "Content-Type: half; name=b.png\nContent-Disposition: attachment\n",
            "attachment-1.dat",
            "application/octet-stream",
        ),
    ] {
        let got = attachment(&format!("{fields}\ncontent"));
        assert_eq!(
            (got.filename.as_str(), got.content_type.as_str()),
            (name, content_type),
            "{fields}"
        );
        assert_eq!(&got.bytes[..], b"content");
    }
}

#[test]
fn bytes_are_exact() {
    let got = attachment(
        "Content-Type: application/x; name=a\nContent-Transfer-Encoding: base64\n\nAAEC/w==",
    );
    assert_eq!(&got.bytes[..], [0, 1, 2, 255]);
    let got = attachment("Content-Type: text/csv; name=a\n\na,b\n1,2\n");
    assert_eq!(&got.bytes[..], b"a,b\r\n1,2\r\n");
    let got = attachment(
        "Content-Type: text/x; name=a; charset=utf-16\nContent-Transfer-Encoding: quoted-printable\n\n=FF=FE=41=00",
    );
    assert_eq!(&got.bytes[..], b"\xff\xfeA\0");
    let got = attachment("Content-Type: application/x; name=a\n\n");
    assert_eq!(&got.bytes[..], b"");
}

#[test]
fn a_forwarded_message_is_a_file_with_its_very_bytes() {
    let raw = corpus("forwarded-message");
    let email = Email::parse(&raw);
    assert_eq!(email.text.as_deref(), Some("See the original."));
    assert_eq!(email.html, None);
    let forwarded = &email.attachments[0];
    assert_eq!(forwarded.content_type, "message/rfc822");
    assert_eq!(forwarded.filename, "message-1.eml");
    assert!(forwarded.bytes.starts_with(b"From: bob@example.org\r\n"));
    assert!(forwarded.bytes.ends_with(b"--outer-inner--\r\n"));
    let at = raw.windows(9).position(|it| it == b"From: bob").unwrap();
    assert_eq!(&forwarded.bytes[..], &raw[at..at + forwarded.bytes.len()]);
}

#[test]
fn a_part_is_inline_when_it_says_so_or_the_html_shows_it() {
    let parse = |image: &str, html: &str| {
        let text = format!(
            "Content-Type: multipart/related; boundary=r\n\n--r\nContent-Type: text/html\n\n{html}\n\
             --r\nContent-Type: image/png\n{image}\n\npng\n--r--\n"
        );
        let mut email = Email::parse(&mail(&text));
        (email.attachments.remove(0), email.html.unwrap())
    };
    for (image, html, inline) in [
        ("Content-ID: <a@b>", "<img src='cid:a@b'>", true),
        ("Content-ID: <a@b>", "<img src=CID:a%40b>", true),
        ("Content-ID: <a@b>\nContent-Disposition: attachment", "<img src=\"cid:a@b\">", true),
        ("Content-ID: <a@b>\nContent-Disposition: inline", "no image", false),
        ("Content-ID: a@b", "<img src='cid:a@b'>", true),
        ("Content-ID: <a@b>", "<img src='cid:%3Ca@b%3E'>", true),
        ("Content-Disposition: inline; filename=a.png", "no image", false),
        ("Content-ID: <a@b>", "<img src='cid:a@bc'>", false),
        ("Content-ID: <a@b>\nContent-Disposition: attachment", "no image", false),
    ] {
        let (got, _) = parse(image, html);
        assert_eq!(got.inline, inline, "{image} {html}");
    }
    let (got, html) =
        parse("Content-Location: http://x.org/i.png", "<img src=\"http://x.org/i.png\">");
    assert!(got.inline);
    assert_eq!(html, format!("<img src=\"cid:{}\">", got.content_id.unwrap()));
}

#[test]
fn what_cannot_be_decoded_is_carried_and_named() {
    let text =
        "Content-Type: application/x; name=a\nContent-Transfer-Encoding: x-yenc\n\n=ybegin 1\n";
    let email = Email::parse(&mail(text));
    assert_eq!(&email.attachments[0].bytes[..], b"=ybegin 1\r\n");
    assert_eq!(email.losses[0].what, "part 1 (application/x)");
    assert!(email.losses[0].grave);
    let email = Email::parse(&corpus("bounce-report"));
    assert_eq!(email.attachments.len(), 2);
    assert!(email.losses[0].what.contains("multipart/report"));
}

#[test]
fn depth_and_number_of_parts_have_limits_that_are_named() {
    let mut deep = "Content-Type: text/plain\n\ninnermost".to_owned();
    for level in 0..40 {
        deep = format!(
            "Content-Type: multipart/mixed; boundary=b{level}x\n\n--b{level}x\n{deep}\n--b{level}x--"
        );
    }
    let email = Email::parse(&mail(&deep));
    assert_eq!(email.losses.len(), 1);
    assert_eq!(email.attachments[0].content_type, "message/rfc822");
    assert!(email.attachments[0].bytes.windows(9).any(|it| it == b"innermost"));

    let part = "--m\nContent-Type: image/png\n\nx\n";
    let many = format!("Content-Type: multipart/mixed; boundary=m\n\n{}--m--\n", part.repeat(1200));
    let email = Email::parse(&mail(&many));
    assert_eq!(email.attachments.len(), 999);
    assert_eq!(email.losses[0].what, "everything after part 1000");
}

#[test]
fn what_stands_behind_an_end_that_came_too_early_is_read() {
    let email = Email::parse(&corpus("same-boundary-nested"));
    let [file] = &email.attachments[..] else { panic!("{:?}", email.attachments) };
    assert_eq!((file.filename.as_str(), &file.bytes[..]), ("a.csv", &b"a,b"[..]));
    let text = "Content-Type: multipart/mixed; boundary=m\n\n--m\n\ntext\n--m--\n--m--\nepilogue\n";
    let email = Email::parse(&mail(text));
    assert_eq!((email.text.as_deref(), email.attachments.len()), (Some("text"), 0));
}

#[test]
fn a_field_that_is_an_encoded_word_as_a_whole_is_read() {
    let got =
        attachment("Content-Disposition: =?utf-8?q?attachment=3B_filename=3D=EA=B8=80.log?=\n\nx");
    assert_eq!(got.filename, "글.log");
}

#[test]
fn a_piece_of_a_message_is_a_grave_loss() {
    let email = Email::parse(&corpus("message-partial"));
    assert!(email.losses.iter().any(|loss| loss.grave && loss.what.contains("message/partial")));
}
