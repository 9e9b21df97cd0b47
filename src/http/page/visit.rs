//! Who looks at a page: which language, from where, and with what forms are signed.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

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
        Self {
            lang: Lang::of(&parts.headers),
            here: here.to_owned(),
            csrf: String::new(),
            signed_in: false,
        }
    }
}

impl FromRequestParts<Arc<Context>> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Context>) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}
