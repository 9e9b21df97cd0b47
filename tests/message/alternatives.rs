//! Further forms of the text, images that the HTML shows, and odd multiparts.

use mailferry::message::Email;

use super::mail;

/// A multipart of parts that are written as `fields\n\ncontent`.
fn multipart(kind: &str, boundary: &str, parts: &[&str]) -> String {
    let each: String = parts.iter().map(|part| format!("--{boundary}\n{part}\n")).collect();
    format!("Content-Type: multipart/{kind}; boundary={boundary}\n\n{each}--{boundary}--")
}

fn parse(text: &str) -> Email {
    Email::parse(&mail(text))
}

fn names(email: &Email) -> Vec<&str> {
    email.attachments.iter().map(|it| it.filename.as_str()).collect()
}

const TEXT: &str = "Content-Type: text/plain; charset=utf-8\n\ntext";
const HTML: &str = "Content-Type: text/html; charset=utf-8\n\n<p>html</p>";
const IMAGE: &str = "Content-Type: image/png; name=i.png\nContent-ID: <i@x>\n\npng";
const FILE: &str = "Content-Type: application/pdf; name=a.pdf\n\npdf";

#[test]
fn an_invitation_is_an_alternative_in_utf_8_with_its_method() {
    let calendar = "Content-Type: text/calendar; charset=iso-8859-1; method=REQUEST\n\
        Content-Transfer-Encoding: quoted-printable\n\nSUMMARY:caf=E9";
    let email = parse(&multipart("alternative", "b", &[TEXT, HTML, calendar]));
    let part = &email.attachments[0];
    assert!(part.alternative && part.is_invitation() && !part.inline);
    assert_eq!(part.content_type, "text/calendar; method=REQUEST; charset=utf-8");
    assert_eq!(part.filename, "invite.ics");
    assert_eq!(&part.bytes[..], "SUMMARY:caf\u{e9}".as_bytes());
    assert_eq!(email.losses, []);

    // Beside the text it is a file, octet by octet.
    let email = parse(&multipart("mixed", "b", &[TEXT, calendar]));
    assert!(!email.attachments[0].is_invitation());
    assert_eq!(&email.attachments[0].bytes[..], b"SUMMARY:caf\xe9");
}

#[test]
fn other_forms_of_the_text_stay_behind_and_are_named() {
    for kind in ["text/watch-html", "text/enriched", "text/html", "text/markdown"] {
        let other = format!("Content-Type: {kind}\n\nother");
        let email = parse(&multipart("alternative", "b", &[TEXT, &other, HTML]));
        assert_eq!(email.html.as_deref(), Some("<p>html</p>"), "{kind}");
        assert!(email.attachments.is_empty(), "{kind}");
        assert!(email.losses.len() == 1 && !email.losses[0].grave, "{kind} {:?}", email.losses);
    }
    // Where it is all there is, it is carried.
    let email = parse(&multipart("alternative", "b", &["Content-Type: text/enriched\n\nx"]));
    assert_eq!(names(&email), ["attachment-1.txt"]);
}

#[test]
fn files_among_the_alternatives_are_files() {
    let email = parse(&multipart("alternative", "b", &[TEXT, HTML, FILE]));
    assert_eq!(names(&email), ["a.pdf"]);
    let email = parse(&multipart("alternative", "b", &[FILE, FILE]));
    assert_eq!(email.attachments.len(), 2);
    assert_eq!((email.text, email.html), (None, None));
    let csv = "Content-Type: text/csv; name=a.csv\n\na,b";
    assert_eq!(names(&parse(&multipart("alternative", "b", &[TEXT, csv]))), ["a.csv"]);
}

#[test]
fn multiparts_nest_in_any_order() {
    let page = "Content-Type: text/html\n\n<img src=\"cid:i@x\">";
    let related = |parts: &[&str]| multipart("related", "r", parts);
    let alternative = |parts: &[&str]| multipart("alternative", "a", parts);
    let mixed = |parts: &[&str]| multipart("mixed", "m", parts);
    for text in [
        mixed(&[&related(&[&alternative(&[TEXT, page]), IMAGE]), FILE]),
        mixed(&[&alternative(&[TEXT, &related(&[page, IMAGE])]), FILE]),
        alternative(&[TEXT, &related(&[&mixed(&[page, FILE]), IMAGE])]),
        alternative(&[TEXT, &mixed(&[&related(&[page, IMAGE]), FILE])]),
        mixed(&[FILE, &alternative(&[TEXT, page]), IMAGE]),
        multipart("x-unheard-of", "u", &[&alternative(&[TEXT, page]), IMAGE, FILE]),
    ] {
        let email = parse(&text);
        assert_eq!(email.text.as_deref(), Some("text"), "{text}");
        assert!(email.html.as_deref().unwrap().contains("cid:i@x"), "{text}");
        let mut found = names(&email);
        found.sort_unstable();
        assert_eq!(found, ["a.pdf", "i.png"], "{text}");
        let image = email.attachments.iter().find(|it| it.filename == "i.png").unwrap();
        assert!(image.inline, "{text}");
        assert_eq!(email.losses, [], "{text}");
    }
}

#[test]
fn odd_multiparts_are_read_as_far_as_they_go() {
    let open = "Content-Type: multipart/mixed; boundary=b\n\npreamble\n--b\n\nfirst\n--b\n\nsecond";
    assert_eq!(parse(open).text.as_deref(), Some("first\nsecond"));
    let closed = format!("{open}\n--b--\nepilogue\n--b\n\nthird\n");
    // What stands between is an epilogue; a part behind it is one.
    assert_eq!(parse(&closed).text.as_deref(), Some("first\nsecond\nthird\n"));
    for (text, shown) in [
        ("Content-Type: multipart/mixed; boundary=b\n\njust text\n", Some("just text\n")),
        ("Content-Type: multipart/mixed\n\n--b\n\nx\n", Some("--b\n\nx\n")),
        ("Content-Type: multipart/mixed; boundary=b\n\n--b--\n", None),
    ] {
        let email = parse(text);
        assert_eq!(email.text.as_deref(), shown, "{text}");
        assert!(email.attachments.is_empty(), "{text}");
    }
    let digest = multipart("digest", "d", &["\nSubject: 1\n\nx", "\nSubject: 2\n\ny"]);
    let email = parse(&digest);
    assert!(email.attachments.iter().all(|it| it.content_type == "message/rfc822"));
    assert_eq!(email.attachments.len(), 2);
    for kind in ["message/partial; id=a; number=1", "message/external-body; access-type=URL"] {
        let email = parse(&multipart("mixed", "b", &[TEXT, &format!("Content-Type: {kind}\n\nx")]));
        assert!(email.attachments[0].content_type.starts_with(kind), "{kind}");
    }
}

#[test]
fn of_two_images_with_one_id_the_second_is_a_file() {
    let page = "Content-Type: text/html\n\n<img src='cid:i@x'>";
    let email = parse(&multipart("related", "r", &[page, IMAGE, IMAGE]));
    let inline: Vec<_> = email.attachments.iter().map(|it| it.inline).collect();
    assert_eq!(inline, [true, false]);
}

#[test]
fn images_are_found_by_relative_locations() {
    let page = |base: &str, url: &str| {
        format!(
            "Content-Type: text/html\n{base}\n<img alt=\"\" src = \"{url}\"><b style='background: url({url})'>"
        )
    };
    for (base, url, image) in [
        ("", "i.png", "Content-Location: i.png"),
        ("Content-Base: \"http://x.org/a/\"\n", "i.png", "Content-Location: http://x.org/a/i.png"),
        (
            "Content-Location: http://x.org/a/b.html\n",
            "../c?d=1&amp;e=2",
            "Content-Location: http://x.org/a/../c?d=1&e=2",
        ),
        ("", "http://x.org/i.png", "Content-Base: http://x.org/\nContent-Location: i.png"),
    ] {
        let image = format!("Content-Type: image/png\n{image}\n\npng");
        let email = parse(&multipart("related", "r", &[&page(base, url), &image]));
        let id = email.attachments[0].content_id.clone().unwrap_or_default();
        assert!(email.attachments[0].inline, "{url}");
        let html = email.html.unwrap();
        assert_eq!(html.matches(&format!("cid:{id}")).count(), 2, "{html}");
    }
}
