//! What is in a message: as it looks, its text, headers, source and attachments.

use super::super::super::side::Context;
use super::super::words::Words;
use super::super::{parameter, words};
use super::Tab;
use crate::message::Email;
use crate::queue::Details;

/// How much of a text or a source is shown, octets. The download has all of it.
const SHOWN_MAX: usize = 256 * 1024;

/// What a tab shows of the content.
#[derive(Debug)]
pub(in crate::http::page) enum ContentView {
    /// The frame with the HTML.
    Frame {
        source: String,
        images: bool,
        images_link: String,
    },
    Text {
        text: String,
        cut: bool,
        instead: bool,
    },
    Headers(Vec<(String, String)>),
    Source {
        text: String,
        cut: bool,
    },
    Attachments(Vec<AttachmentView>),
    /// There is no request to show.
    NoRequest,
    /// It is past its time.
    Gone,
    /// The store has a problem, told in its words.
    Unreadable(String),
}

#[derive(Debug)]
pub(in crate::http::page) struct AttachmentView {
    pub(in crate::http::page) name: String,
    pub(in crate::http::page) media_type: String,
    pub(in crate::http::page) size: String,
}

impl ContentView {
    pub(super) async fn read(
        context: &Context,
        details: &Details,
        tab: Tab,
        query: Option<&str>,
        _t: &'static Words,
    ) -> Self {
        let id = details.summary.id;
        let raw = match context.ask(context.side.store.content(id)).await {
            Ok(Some(raw)) => raw,
            Ok(None) => return Self::Gone,
            Err(problem) => return Self::Unreadable(problem.message),
        };
        match tab {
            Tab::Preview => {
                let email = Email::parse(&raw);
                if email.html.is_none() {
                    let (text, cut) = head(email.text.as_deref().unwrap_or_default());
                    return Self::Text { text, cut, instead: true };
                }
                let images = parameter(query, "images").as_deref() == Some("remote");
                let (asked, other) =
                    if images { ("?images=remote", "") } else { ("", "&images=remote") };
                Self::Frame {
                    source: format!("/messages/{id}/html{asked}"),
                    images,
                    images_link: format!("/messages/{id}?tab=preview{other}"),
                }
            }
            Tab::Text => {
                let email = Email::parse(&raw);
                let (text, cut) = head(email.text.as_deref().unwrap_or_default());
                Self::Text { text, cut, instead: false }
            }
            Tab::Headers => Self::Headers(Email::parse(&raw).headers),
            Tab::Source => {
                let (text, cut) = head(&String::from_utf8_lossy(&raw));
                Self::Source { text, cut }
            }
            Tab::Attachments => {
                let email = Email::parse(&raw);
                let each = |it: &crate::message::Attachment| AttachmentView {
                    name: it.filename.clone(),
                    media_type: it.content_type.clone(),
                    size: words::size(u64::try_from(it.bytes.len()).unwrap_or(u64::MAX)),
                };
                Self::Attachments(email.attachments.iter().map(each).collect())
            }
            Tab::Delivery | Tab::Request => Self::NoRequest,
        }
    }
}

/// The beginning of a text, and whether there is more.
fn head(text: &str) -> (String, bool) {
    let cut = text.len() > SHOWN_MAX;
    (text.chars().take(SHOWN_MAX).collect(), cut)
}
