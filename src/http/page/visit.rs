//! Who looks at a page: which language, from where, and with what forms are signed.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::super::access::{Caller, is_reading};
use super::super::side::Context;
use super::words::{Lang, Words};

/// What a page needs to know of the request, besides what it asks for.
#[derive(Clone, Debug)]
pub(in crate::http) struct Visit {
    pub(super) lang: Lang,
    /// Path and query of this page, to come back to.
    pub(super) here: String,
    /// What a form has to bring along; empty where none is needed.
    pub(super) csrf: String,
    /// There is a session to end.
    pub(super) signed_in: bool,
}

impl Visit {
    /// What the page says, in the visitor's language.
    pub(super) fn words(&self) -> &'static Words {
        self.lang.words()
    }

    /// Reads it from the head of a request.
    pub(in crate::http) fn of(parts: &Parts) -> Self {
        let here = if is_reading(&parts.method) {
            parts.uri.path_and_query().map_or("/", |it| it.as_str())
        } else {
            page_of(parts.uri.path())
        };
        let caller = parts.extensions.get::<Caller>();
        Self {
            lang: Lang::of(&parts.headers),
            here: here.to_owned(),
            csrf: caller.map_or_else(String::new, |caller| caller.csrf().to_owned()),
            signed_in: caller.is_some_and(Caller::may_log_out),
        }
    }

    /// Somebody of whom no more is known, and where he wants to be.
    pub(super) fn stranger(lang: Lang, here: &str) -> Self {
        Self { lang, here: here.to_owned(), csrf: String::new(), signed_in: false }
    }
}

/// The page on which the form stands that is sent to this path, where nothing can be read.
fn page_of(path: &str) -> &str {
    match path {
        "/send" | "/suppressions" => path,
        "/messages/retry-failed" => "/messages",
        _ => match path.rsplit_once('/') {
            Some((page, "retry" | "cancel" | "remove")) => page,
            Some(_) | None => "/",
        },
    }
}

impl FromRequestParts<Arc<Context>> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Context>) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_leads_back_to_a_page_that_can_be_read() {
        for (path, page) in [
            ("/send", "/send"),
            ("/suppressions", "/suppressions"),
            ("/suppressions/remove", "/suppressions"),
            ("/messages/retry-failed", "/messages"),
            ("/messages/1/retry", "/messages/1"),
            ("/messages/1/cancel", "/messages/1"),
            ("/language", "/"),
            ("/logout", "/"),
        ] {
            assert_eq!(page_of(path), page);
        }
    }
}
