//! Which parts become the text and the HTML body.

use mailferry::message::Email;

use super::{corpus, mail};

fn parse(text: &str) -> Email {
    Email::parse(&mail(text))
}

/// A multipart of this kind around these sections.
fn multipart(kind: &str, boundary: &str, sections: &[&str]) -> String {
    let mut out = format!("Content-Type: multipart/{kind}; boundary={boundary}\n\n");
    for section in sections {
        out.push_str(&format!("--{boundary}\n{section}\n"));
    }
    out.push_str(&format!("--{boundary}--\n"));
    out
}

const TEXT: &str = "Content-Type: text/plain\n\ntext";
const HTML: &str = "Content-Type: text/html\n\n<p>html</p>";
const IMAGE: &str =
    "Content-Type: image/png\nContent-ID: <i@x>\nContent-Disposition: inline\n\npng";
const FILE: &str =
    "Content-Type: text/plain\nContent-Disposition: attachment; filename=a.txt\n\nfile";

fn bodies(email: &Email) -> (Option<&str>, Option<&str>) {
    (email.text.as_deref(), email.html.as_deref())
}

#[test]
fn one_part_is_the_body() {
    assert_eq!(bodies(&parse(&format!("Subject: a\n{TEXT}"))), (Some("text"), None));
    assert_eq!(bodies(&parse(&format!("Subject: a\n{HTML}"))), (None, Some("<p>html</p>")));
    assert_eq!(bodies(&parse("Subject: a\n\ntext\n")), (Some("text\n"), None));
    assert_eq!(bodies(&parse("Subject: a\n\n")), (None, None));
    assert_eq!(bodies(&parse("Subject: a\n")), (None, None));
    assert_eq!(bodies(&parse("")), (None, None));
    assert_eq!(bodies(&parse("no header\n")), (Some("no header\n"), None));
}

#[test]
fn alternatives_are_found_at_any_depth_and_in_any_order() {
    let alternative = multipart("alternative", "a", &[TEXT, HTML]);
    let backwards = multipart("alternative", "a", &[HTML, TEXT]);
    let related = multipart("related", "r", &[&alternative, IMAGE]);
    let html_with_image = multipart("related", "r", &[HTML, IMAGE]);
    for (message, files) in [
        (alternative.clone(), 0),
        (backwards, 0),
        (related.clone(), 1),
        (multipart("alternative", "o", &[TEXT, &html_with_image]), 1),
        (multipart("mixed", "m", &[&alternative, FILE]), 1),
        (multipart("mixed", "m", &[&related, FILE]), 2),
        (multipart("mixed", "m", &[FILE, &related]), 2),
        (multipart("mixed", "m", &[&multipart("mixed", "n", &[&related]), FILE]), 2),
        (multipart("x-unknown", "m", &[&alternative, FILE]), 1),
    ] {
        let email = parse(&message);
        assert_eq!(bodies(&email), (Some("text"), Some("<p>html</p>")), "{message}");
        assert_eq!(email.attachments.len(), files, "{message}");
        assert_eq!(email.losses, [], "{message}");
    }
}

#[test]
fn a_boundary_that_begins_like_another_is_another() {
    let inner = multipart("alternative", "b-1", &[TEXT, HTML]);
    let email = parse(&multipart("mixed", "b", &[&inner, FILE]));
    assert_eq!(bodies(&email), (Some("text"), Some("<p>html</p>")));
    let quoted = "Content-Type: text/plain\n\nsee --b in the text\n--b-is not it\n--bb";
    let email = parse(&multipart("mixed", "b", &[quoted]));
    assert_eq!(bodies(&email).0, Some("see --b in the text\n--b-is not it\n--bb"));
}

#[test]
fn an_unclosed_multipart_ends_with_the_one_around_it() {
    let open =
        "Content-Type: multipart/alternative; boundary=a\n\n--a\nContent-Type: text/plain\n\ntext";
    let email = parse(&multipart("mixed", "m", &[open, FILE]));
    assert_eq!(bodies(&email), (Some("text"), None));
    assert_eq!(email.attachments.len(), 1);
    assert_eq!(bodies(&parse(open)), (Some("text"), None));
}

#[test]
fn a_multipart_without_parts_is_shown_as_it_is() {
    let email = parse("Content-Type: multipart/mixed; boundary=x\n\nno boundary here\n");
    assert_eq!(bodies(&email), (Some("no boundary here\n"), None));
    let email = parse("Content-Type: multipart/mixed\n\n--x\n\ntext\n");
    assert_eq!(bodies(&email), (Some("--x\n\ntext\n"), None));
}

#[test]
fn a_text_file_never_becomes_the_body() {
    let email = parse(&multipart("mixed", "m", &[FILE, HTML]));
    assert_eq!(bodies(&email), (None, Some("<p>html</p>")));
    assert_eq!(email.attachments[0].filename, "a.txt");
    let email = parse(FILE);
    assert_eq!(bodies(&email), (None, None));
    assert_eq!(&email.attachments[0].bytes[..], b"file");
    let named = "Content-Type: text/plain; name=log.txt\n\nlog";
    let email = parse(&multipart("mixed", "m", &[TEXT, named]));
    assert_eq!((bodies(&email).0, email.attachments.len()), (Some("text"), 1));
}

#[test]
fn texts_beside_each_other_are_all_shown() {
    let email = parse(&multipart("mixed", "m", &[TEXT, IMAGE, "\nafter"]));
    assert_eq!(bodies(&email), (Some("text\nafter"), None));

    let email = Email::parse(&corpus("list-footer"));
    let (text, html) = bodies(&email);
    assert!(text.unwrap().starts_with("Hello list.\n____"));
    assert!(text.unwrap().ends_with("list mailing list <list@example.org>"));
    assert_eq!(
        html.unwrap(),
        "<html><body class=x><p>Hello list.</p><div>_______________________________________________<br>\n\
         list mailing list &lt;list@example.org&gt;</div>\n</body></html>"
    );

    // Text before HTML, without an alternative: readers see both.
    let email = parse(&multipart("mixed", "m", &["\n1 < 2", HTML, "\nend"]));
    assert_eq!(bodies(&email).1, Some("<div>1 &lt; 2</div>\n<p>html</p><div>end</div>\n"));
    assert_eq!(bodies(&email).0, Some("1 < 2\nhtml\nend"));
    let email = parse(&multipart("mixed", "m", &[HTML, "Content-Type: text/html\n\n<i>2</i>"]));
    assert_eq!(bodies(&email), (None, Some("<p>html</p><i>2</i>")));
}

#[test]
fn charsets_become_utf_8_and_lines_end_in_lf() {
    let email = Email::parse(
        b"Content-Type: text/plain; charset=EUC-KR\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
          =BE=C8=B3=E7\r\n=C7=D1=\r\n=B1=DB",
    );
    assert_eq!(email.text.as_deref(), Some("안녕\n한글"));
    let email = Email::parse(b"Content-Type: text/plain; charset=x-klingon\r\n\r\na\xffb");
    assert_eq!(email.text.as_deref(), Some("a\u{fffd}b"));
    assert_eq!(email.losses[0].what, "part 1 (text/plain)");
}

#[test]
fn a_charset_that_the_mail_does_not_state_is_looked_for() {
    let html = b"Content-Type: text/html\r\n\r\n<meta charset=\"euc-kr\"><p>\xbe\xc8\xb3\xe7</p>";
    assert!(Email::parse(html).html.unwrap().contains("<p>안녕</p>"));
    let other =
        b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\n\xbe\xc8\xb3\xe7\r\n\
          --b\r\nContent-Type: text/html; charset=euc-kr\r\n\r\n\xbe\xc8\xb3\xe7\r\n--b--\r\n";
    assert_eq!(bodies(&Email::parse(other)), (Some("안녕"), Some("안녕")));
    // UTF-8 is recognised before anything is guessed.
    let utf_8 = "Content-Type: text/html\r\n\r\n<meta charset=euc-kr><p>안녕</p>";
    assert!(Email::parse(utf_8.as_bytes()).html.unwrap().contains("<p>안녕</p>"));
}

#[test]
fn further_alternatives_are_files_with_their_parameters() {
    let email = Email::parse(&corpus("calendar-invite"));
    assert_eq!(bodies(&email), (Some("Meet at ten."), Some("<p>Meet at ten.</p>")));
    let calendar = &email.attachments[0];
    assert_eq!(calendar.content_type, "text/calendar; method=REQUEST; charset=utf-8");
    assert_eq!(calendar.filename, "ignored.ics");
    let email = Email::parse(&corpus("ghost-newsletter"));
    assert_eq!(email.attachments.len(), 1);
    assert!(email.attachments[0].is_amp());
}

#[test]
fn paragraphs_of_flowed_text_are_joined() {
    assert_eq!(
        Email::parse(&corpus("flowed")).text.as_deref(),
        Some(
            "This is one paragraph that Thunderbird has cut into lines.\n> And this a quotation.\n\
             From the beginning.\n-- \nAda\n"
        )
    );
}
