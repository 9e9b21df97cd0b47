//! Asks a real HTML parser what is in a document.

use scraper::{ElementRef, Html, Node};
use url::Url;

use crate::message::view::Remote;
use crate::message::view::tags::{ATTRIBUTES, KEPT, VOID};

/// Elements of the document around the mail.
const FRAME: [&str; 6] = ["html", "head", "body", "meta", "title", "style"];

/// Fails when something in the document could run, call another host or send something, in any browser that reads it as
/// the standard says. The document is asked twice: as it is, and written and read once more, as whoever copies it would.
pub(super) fn assert_harmless(document: &str, remote: Remote) {
    let read = Html::parse_document(document);
    check(&read, remote);
    check(&Html::parse_document(&read.html()), remote);
}

fn check(html: &Html, remote: Remote) {
    for node in html.tree.nodes() {
        match node.value() {
            Node::Element(_) => {
                if let Some(element) = ElementRef::wrap(node) {
                    check_element(element, remote);
                }
            }
            Node::Comment(comment) => panic!("a comment: {comment:?}"),
            Node::ProcessingInstruction(it) => panic!("an instruction: {it:?}"),
            Node::Document | Node::Fragment | Node::Doctype(_) | Node::Text(_) => {}
        }
    }
}

fn check_element(element: ElementRef<'_>, remote: Remote) {
    let name = element.value().name();
    let known = KEPT.contains(&name) || VOID.contains(&name) || FRAME.contains(&name);
    assert!(known, "an element {name}");
    assert_eq!(&*element.value().name.ns, "http://www.w3.org/1999/xhtml", "{name}");
    if name == "style" {
        check_style(&element.text().collect::<String>(), remote);
    }
    for (attribute, value) in element.value().attrs() {
        match (name, attribute) {
            ("a", "href") => {
                let scheme = Url::parse(value).unwrap().scheme().to_owned();
                assert!(["http", "https", "mailto", "tel"].contains(&&*scheme), "{value}");
                assert_eq!(element.value().attr("target"), Some("_blank"));
                assert_eq!(element.value().attr("rel"), Some("noopener noreferrer nofollow"));
            }
            ("a", "target" | "rel") => {}
            ("img", "src") | (_, "background") => check_image(value, remote),
            ("meta", "charset" | "content") => {}
            ("meta", "name") => assert_eq!(value, "viewport"),
            (_, "style") => check_style(value, remote),
            (_, known) => assert!(ATTRIBUTES.contains(&known), "<{name} {known}=…>"),
        }
    }
}

fn check_image(address: &str, remote: Remote) {
    let raster = ["png", "jpeg", "gif", "webp", "avif", "bmp"];
    let inline = raster.iter().any(|it| address.starts_with(&format!("data:image/{it};base64,")));
    let distant = address.starts_with("https://") || address.starts_with("http://");
    assert!(inline || (distant && remote == Remote::Allowed), "an image {address:.100}");
}

/// The sanitiser writes no escape outside quotes but in names, so what is left of a style is what it says.
fn check_style(css: &str, remote: Remote) {
    let lower = without_texts(&css.to_ascii_lowercase());
    for behind in lower.split("url(").skip(1) {
        assert!(behind.starts_with('"'), "an address without quotes in {css}");
    }
    for behind in css.split("url(\"").skip(1) {
        check_image(behind.split('"').next().unwrap(), remote);
    }
    for word in ["@import", "@font-face", "image-set(", "expression(", "src(", "</"] {
        assert!(!lower.contains(word), "{word} in {css}");
    }
}

/// The style with its texts in quotes emptied.
fn without_texts(css: &str) -> String {
    css.split('"').enumerate().map(|(at, piece)| if at % 2 == 0 { piece } else { "\"" }).collect()
}
