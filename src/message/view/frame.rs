//! HTML as a document for a frame: the first of two walls. The second is the policy that the document is served under,
//! and the sandbox of the frame; nothing here may rely on it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ammonia::{Builder, UrlRelative};
use url::Url;

use super::images::{Images, plain};
use super::tags::{ATTRIBUTES, BACKED, DROPPED, KEPT, VOID};
use super::tidy::{Tidy, is_costly};
use super::{Remote, css, text};
use crate::message::Email;

/// The longest address of a link, octets.
const LINK_MAX: usize = 16 * 1024;
/// How much of a link's address its title shows, characters.
const TITLE_MAX: usize = 300;
/// The most that writing a value may cost: its length, for each of its costly characters.
const COST_MAX: usize = 4 * 1024 * 1024;
/// What addresses in links may begin with.
const LINKS: [&str; 4] = ["http", "https", "mailto", "tel"];

/// How a document looks that says nothing of it. Mail is written for a white page.
const STYLE: &str = "html{background:#fff;color:#111;color-scheme:light}\
    body{margin:8px;font:16px/1.5 system-ui,sans-serif;overflow-wrap:break-word}\
    img{max-width:100%}pre{white-space:pre-wrap}\
    .mail-text{white-space:pre-wrap}.mail-quote{color:#666}";

/// A document to be shown in a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The whole document.
    pub document: String,
    /// How many references to images of other hosts the mail has, shown or not.
    pub remote_images: usize,
    /// How many images of the message itself are not shown: no raster images, or too large together.
    pub left_out: usize,
    /// The mail was longer, or had more elements, than is shown.
    pub cut: bool,
}

impl Frame {
    /// The HTML of a message, or its text where it has none.
    pub(super) fn of(email: &Email, remote: Remote) -> Self {
        match &email.html {
            Some(html) => Self::of_html(html, Images::of(&email.attachments, remote)),
            None => {
                let shown = text::shown(email.text.as_deref().unwrap_or_default());
                let body = format!("<div class=\"mail-text\">{}</div>", shown.html);
                Self { document: document("", &body), cut: shown.cut, ..Self::default() }
            }
        }
    }

    fn of_html(html: &str, images: Images) -> Self {
        let tidy = Tidy::read(html);
        let images = Arc::new(images);
        let body = sanitiser(&images).clean(&tidy.html).to_string();
        let styles = css::filtered(&tidy.styles, &images);
        let tally = images.tally();
        Self {
            document: document(&styles, &body),
            remote_images: tally.remote,
            left_out: tally.left_out,
            cut: tidy.cut,
        }
    }
}

fn document(styles: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title></title>\
         <style>{STYLE}</style><style>{styles}</style></head><body>{body}</body></html>\n"
    )
}

/// What lets through the elements and attributes that are named, and no address but those that are shown.
fn sanitiser(images: &Arc<Images>) -> Builder<'static> {
    let mut attributes: HashMap<&str, HashSet<&str>> = HashMap::new();
    attributes.insert("a", HashSet::from(["href"]));
    attributes.insert("img", HashSet::from(["src"]));
    for name in BACKED {
        attributes.insert(name, HashSet::from(["background"]));
    }
    let images = Arc::clone(images);
    let mut builder = Builder::empty();
    builder
        .tags(KEPT.into_iter().chain(VOID).collect())
        .clean_content_tags(DROPPED.into_iter().chain(["style"]).collect())
        .generic_attributes(ATTRIBUTES.into_iter().collect())
        .tag_attributes(attributes)
        .url_schemes(LINKS.into_iter().chain(["cid", "data"]).collect())
        // The filter below decides, which knows more than whether there is a scheme.
        .url_relative(UrlRelative::PassThrough)
        .link_rel(Some("noopener noreferrer nofollow"))
        .set_tag_attribute_value("a", "target", "_blank")
        .strip_comments(true)
        .attribute_filter(move |element, attribute, value| {
            filtered(element, attribute, value, &images).filter(|value| is_cheap(value))
        });
    builder
}

/// The value that an attribute may have. It is decoded already.
fn filtered<'a>(
    element: &str,
    attribute: &str,
    value: &'a str,
    images: &Images,
) -> Option<Cow<'a, str>> {
    match (element, attribute) {
        ("a", "href") => link(value).map(Cow::Owned),
        ("a", "title") => Some(value.chars().take(TITLE_MAX).collect::<String>().into()),
        ("img", "src") | (_, "background") => images.shown(value).map(Cow::Owned),
        (_, "style") if value.len() <= css::ATTRIBUTE_MAX => {
            Some(css::filtered(value, images).into())
        }
        (_, "style" | "href" | "src") => None,
        (_, _) => Some(value.into()),
    }
}

/// Whether a value is written in little time.
fn is_cheap(value: &str) -> bool {
    let costly = value.chars().filter(|c| is_costly(*c)).count();
    costly.saturating_mul(value.len()) <= COST_MAX
}

/// A link that may be followed, as browsers would read it.
fn link(address: &str) -> Option<String> {
    let address = plain(address);
    if address.len() > LINK_MAX {
        return None;
    }
    let url = Url::parse(&address).ok()?;
    LINKS.contains(&url.scheme()).then(|| url.into())
}
