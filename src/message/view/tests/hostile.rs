//! Every message of `tests/hostile`, and larger ones of their kind, shown to a real HTML parser.

use std::fs;
use std::path::PathBuf;

use scraper::{Html, Node};

use super::harmless::assert_harmless;
use super::mail;
use crate::message::view::tags::{LABOUR_MAX, is_laborious};
use crate::message::view::{self, Frame, Remote, View};

/// What a frame may have at most, whatever the message: octets, elements, depth. Somewhat more than the sanitiser is given,
/// for what a parser adds: table bodies, the document around the mail.
const OCTETS_MAX: usize = 20 * 1024 * 1024;
const ELEMENTS_MAX: usize = 60_000;
const DEPTH_MAX: usize = 600;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/hostile")
}

/// Name and content, lines ended by CRLF.
fn messages() -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path());
    let messages = files.filter(|path| path.extension().is_some_and(|it| it == "eml"));
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, with_crlf(&fs::read(&path).unwrap()))
    };
    let mut messages: Vec<_> = messages.map(read).collect();
    messages.sort();
    messages
}

fn with_crlf(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 40);
    for byte in text {
        if *byte == b'\n' {
            out.push(b'\r');
        }
        out.push(*byte);
    }
    out
}

fn assert_bounded(frame: &Frame) {
    assert!(frame.document.len() <= OCTETS_MAX, "{} octets", frame.document.len());
    let html = Html::parse_document(&frame.document);
    let elements = html.tree.nodes().filter(|node| matches!(node.value(), Node::Element(_)));
    let (mut count, mut deepest) = (0, 0);
    for element in elements {
        count += 1;
        // Walking up costs the depth, so not from each of many.
        if count % 97 == 0 {
            deepest = deepest.max(element.ancestors().count());
        }
    }
    for text in html.tree.nodes().filter_map(|node| node.value().as_text()) {
        let labour = text.chars().filter(|c| is_laborious(*c)).count();
        assert!(labour <= LABOUR_MAX, "{labour} laborious characters in one text");
    }
    assert!(count <= ELEMENTS_MAX, "{count} elements");
    assert!(deepest <= DEPTH_MAX, "{deepest} deep");
}

#[test]
fn the_list_of_tricks_names_every_message() {
    let messages = messages();
    assert!(messages.len() >= 40, "{} messages", messages.len());
    let list = fs::read_to_string(folder().join("README.md")).unwrap();
    for (name, _) in &messages {
        assert!(list.contains(&format!("| `{name}` | ")), "{name} is not in the list");
    }
    assert_eq!(list.matches(".eml` | ").count(), messages.len());
}

#[test]
fn nothing_hostile_can_run_or_call() {
    for (name, raw) in messages() {
        let check = std::panic::catch_unwind(|| {
            for remote in [Remote::Blocked, Remote::Allowed] {
                let frame = view::frame(&raw, remote);
                assert_harmless(&frame.document, remote);
                assert_bounded(&frame);
            }
        });
        assert!(check.is_ok(), "{name}: see above");
    }
}

#[test]
fn what_is_not_hostile_in_them_is_shown() {
    // Its ASCII is read as UTF-16, as was stated.
    let silent = ["charset-utf-16.eml"];
    let mut blank = Vec::new();
    for (name, raw) in messages() {
        let document = view::frame(&raw, Remote::Blocked).document;
        let text: String = Html::parse_document(&document).root_element().text().collect();
        let says_before = raw.windows(6).any(|it| it == b"before");
        if says_before && !text.contains("before") && !silent.contains(&name.as_str()) {
            blank.push(name);
        }
    }
    assert!(blank.is_empty(), "{blank:?} show nothing");
}

#[test]
fn headers_and_names_are_single_lines_of_harmless_characters() {
    for (name, raw) in messages() {
        let view = View::read(&raw);
        for field in &view.headers.fields {
            assert!(!field.value.contains(['\r', '\n', '\0']), "{name}: {field:?}");
        }
        assert!(!view.subject.contains(['\r', '\n', '\0', '\u{1b}']), "{name}: {:?}", view.subject);
        for part in &view.parts {
            let file = &part.filename;
            assert!(!file.is_empty() && file.len() <= 210, "{name}: {file:?}");
            let odd = |c: char| c.is_control() || "/\\\"<>:\u{202e}\u{200b}".contains(c);
            assert!(!file.contains(odd) && !file.starts_with('.'), "{name}: {file:?}");
            let download = view::part(&raw, part.number).unwrap();
            let plain = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
            assert!(download.disposition.bytes().all(plain), "{name}: {}", download.disposition);
            assert!(download.disposition.starts_with("attachment; "), "{name}");
            assert_eq!(download.disposition.matches('"').count(), 2, "{name}");
            for document in ["html", "xml", "svg", "text", "script", "multipart", "message"] {
                assert!(!download.media_type.contains(document), "{name}: {}", download.media_type);
            }
        }
    }
}

#[test]
fn remote_images_are_counted_in_every_form() {
    let read = |name: &str| with_crlf(&fs::read(folder().join(name)).unwrap());
    assert_eq!(View::read(&read("remote-images.eml")).remote_images, 7);
    assert_eq!(View::read(&read("svg-as-image.eml")).remote_images, 0);
    assert_eq!(View::read(&read("svg-as-image.eml")).images_left_out, 7);
}

/// What is written without end, some million octets of it.
fn endless(piece: &str, octets: usize) -> String {
    piece.repeat(octets / piece.len())
}

#[test]
fn a_message_of_any_size_makes_a_frame_of_a_bounded_one() {
    const MANY: usize = 48 * 1024;
    let numbered = |start: &str, end: &str| -> String {
        (0..MANY / 16).map(|number| format!("{start}{number}{end}")).collect()
    };
    for html in [
        endless("<div>", MANY),
        endless("<p>", MANY),
        endless("<b><p>", MANY),
        endless("<table><tr><td>", MANY),
        endless("<a><div></a>", MANY),
        endless("</div>", MANY),
        endless("<svg>", MANY),
        endless("<style>", MANY),
        endless("<!--", MANY),
        endless("<!---->", MANY),
        endless("<!-- --", MANY),
        endless("<a href='", MANY),
        endless("<", MANY),
        endless("&", MANY),
        endless("&amp;", MANY),
        endless("\u{a3}", MANY),
        endless("&<!---->", MANY),
        format!("<table>{}", endless("&<tr></tr>", MANY)),
        format!("<p class='{}'>", endless("&", MANY / 2)),
        endless("<select><option>", MANY),
        numbered("<b id=", ">") + endless("<p>x", MANY / 4).as_str(),
        numbered("<font a", "=1></p>"),
        format!("<p {}>", numbered("a", "=1 ")),
        format!("<style>{}</style>", endless("a{b:url(", MANY)),
        format!("<style>{}</style>", endless("@a(", MANY)),
        format!("<style>{}</style>", endless("/*", MANY)),
        format!("<style>{}</style>", endless("\\", MANY)),
        format!("<p style='{}'>", endless("a:url(x);", MANY)),
        endless("<p style='a:url(http://x)'>", MANY),
        endless("<img src=http://x.example/>", MANY),
        endless("<img src=cid:", MANY),
        format!("<img src='data:image/png;base64,{}'>", endless("iVBORw0KGgo", 4 * MANY)),
    ] {
        let frame = view::frame(&mail(&html), Remote::Allowed);
        assert_harmless(&frame.document, Remote::Allowed);
        assert_bounded(&frame);
    }
}

#[test]
fn ten_megabytes_are_cut_and_said_to_be() {
    let html = endless("<p class=a>한국어 <b>text</b></p>\r\n", 10 * 1024 * 1024);
    let frame = view::frame(&mail(&html), Remote::Blocked);
    assert!(frame.cut);
    assert_harmless(&frame.document, Remote::Blocked);
    assert_bounded(&frame);
    assert!(View::read(&mail(&html)).html_cut);
}
