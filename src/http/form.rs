//! Forms of the page. One counts only when it brings back the token that it was shown with.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use url::form_urlencoded;

use super::access::Caller;
use super::body;
use super::error::Problem;

/// The largest form: a test mail with a long text.
pub(super) const BODY_MAX: usize = 512 * 1024;

/// Fields that one form may have.
const FIELDS_MAX: usize = 4096;

/// The name of the hidden field with the token.
const CSRF: &str = "csrf";

/// What a person has filled in. Handlers of forms find it among the extensions of the request: it was checked there.
#[derive(Clone, Debug, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a form that anybody may send.
    pub(super) async fn read(request: Request, max: usize) -> Result<Self, Problem> {
        let said = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = said.unwrap_or("").split(';').next().unwrap_or("").trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "this takes a form of the page: application/x-www-form-urlencoded",
            ));
        }
        let body = body::read(request, max).await?;
        let fields = form_urlencoded::parse(&body).into_owned();
        let fields: Vec<_> = fields.take(FIELDS_MAX + 1).collect();
        if fields.len() > FIELDS_MAX {
            let message = format!("a form may have {FIELDS_MAX} fields");
            return Err(Problem::bad_input("too_many_fields", message));
        }
        Ok(Self(fields))
    }

    /// Reads a form of a page that was shown to `caller`.
    pub(super) async fn of(caller: &Caller, request: Request) -> Result<Self, Problem> {
        let form = Self::read(request, BODY_MAX).await?;
        if caller.has_csrf(form.get(CSRF).unwrap_or("")) {
            Ok(form)
        } else {
            Err(Problem::stale_form())
        }
    }

    /// The first value of this name.
    pub(super) fn get<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// All values of this name, as checkboxes have them.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Form {
    fn from(fields: [(&str, &str); N]) -> Self {
        Self(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
    }
}
