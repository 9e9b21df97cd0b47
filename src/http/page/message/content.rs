//! What is in a message: as it looks, its text, headers, source and attachments.

use std::sync::Arc;

use super::super::super::content;
use super::super::super::error::Problem;
use super::super::super::html::SANDBOX;
use super::super::super::side::Context;
use super::super::parameter;
use super::super::words::{Words, size};
use super::Tab;
use crate::message::view::{HeaderField, PartView, View};
use crate::queue::Details;

/// What a tab shows of the content.
#[derive(Debug)]
pub(in crate::http::page) enum ContentView {
    /// The frame with the HTML.
    Frame(FrameView),
    /// `html` was made from text, and is safe. `instead`: of the HTML that there is not.
    Text {
        html: String,
        cut: bool,
        instead: bool,
    },
    NoText,
    Headers {
        fields: Vec<HeaderField>,
        more: bool,
    },
    Source {
        text: String,
        cut: bool,
    },
    Attachments(Vec<FileView>),
    /// It is past its time.
    Gone,
    /// It cannot be read now; in the words of the API.
    Unreadable(String),
}

/// The HTML of a message, in a frame of its own.
#[derive(Debug)]
pub(in crate::http::page) struct FrameView {
    pub(in crate::http::page) source: String,
    pub(in crate::http::page) sandbox: &'static str,
    /// About images of other hosts, and the way to load them or not; nothing where there are none.
    pub(in crate::http::page) images: Option<(String, &'static str, String)>,
    pub(in crate::http::page) cut: bool,
    pub(in crate::http::page) files: Vec<FileView>,
}

/// A part to download.
#[derive(Debug)]
pub(in crate::http::page) struct FileView {
    pub(in crate::http::page) link: String,
    pub(in crate::http::page) name: String,
    pub(in crate::http::page) media_type: String,
    pub(in crate::http::page) size: String,
}

impl ContentView {
    /// Reads what this tab shows; the other tabs show nothing of the content.
    pub(super) async fn read(
        context: &Arc<Context>,
        details: &Details,
        tab: Tab,
        query: Option<&str>,
        t: &'static Words,
    ) -> Self {
        let id = details.summary.id;
        let read = async {
            if tab == Tab::Source {
                let (text, cut) = content::source_of(context, id).await?;
                return Ok(Self::Source { text, cut });
            }
            let view = content::view(context, id).await?;
            Ok(Self::of(view, &id.to_string(), tab, query, t))
        };
        match read.await {
            Ok(shown) => shown,
            Err(Problem { code: "content_gone", .. }) => Self::Gone,
            Err(problem) => Self::Unreadable(problem.message),
        }
    }

    fn of(view: View, id: &str, tab: Tab, query: Option<&str>, t: &'static Words) -> Self {
        let files = || view.parts.iter().map(|part| FileView::new(part, id)).collect();
        match tab {
            Tab::Preview if view.has_html => {
                let shown = parameter(query, "images").as_deref() == Some("remote");
                let remote = u64::try_from(view.remote_images).unwrap_or(u64::MAX);
                let here = format!("/messages/{id}?tab=preview");
                let images = match (remote, shown) {
                    (0, _) => None,
                    (_, true) => Some((t.images_shown.to_owned(), t.hide_images, here)),
                    (n, false) => {
                        Some((t.images_n.of(n), t.show_images, format!("{here}&images=remote")))
                    }
                };
                let asked = if shown { "?images=remote" } else { "" };
                Self::Frame(FrameView {
                    source: format!("/messages/{id}/html{asked}"),
                    sandbox: SANDBOX,
                    images,
                    cut: view.html_cut,
                    files: files(),
                })
            }
            Tab::Preview | Tab::Text => match view.text {
                Some(text) => {
                    Self::Text { html: text.html, cut: text.cut, instead: tab == Tab::Preview }
                }
                None => Self::NoText,
            },
            Tab::Headers => {
                Self::Headers { fields: view.headers.fields, more: view.headers.left_out > 0 }
            }
            Tab::Attachments => Self::Attachments(files()),
            Tab::Source | Tab::Delivery | Tab::Request => Self::NoText,
        }
    }
}

impl FileView {
    fn new(part: &PartView, id: &str) -> Self {
        Self {
            link: format!("/api/v1/messages/{id}/parts/{}", part.number),
            name: part.filename.clone(),
            media_type: part.media_type.clone(),
            size: size(u64::try_from(part.size).unwrap_or(u64::MAX)),
        }
    }
}
