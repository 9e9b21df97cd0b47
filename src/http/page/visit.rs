//! Who looks at a page: which language, from where, and with what forms are signed.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::super::access::Caller;
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
        let here = parts.uri.path_and_query().map_or("/", |it| it.as_str());
        let caller = parts.extensions.get::<Caller>();
        Self {
            lang: Lang::of(&parts.headers),
            here: here.to_owned(),
            csrf: caller.map_or_else(String::new, |caller| caller.csrf().to_owned()),
            signed_in: caller.is_some_and(Caller::may_log_out),
        }
    }

    /// Somebody of whom no more is known.
    pub(super) fn stranger(lang: Lang, here: &str) -> Self {
        Self { lang, here: here.to_owned(), csrf: String::new(), signed_in: false }
    }
}

impl FromRequestParts<Arc<Context>> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Context>) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}
