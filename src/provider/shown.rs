//! A request as a person may see it: as it leaves, without its secrets.

use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE, HOST, HeaderName, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderValue, Request, Uri};

use super::exchange::user_agent;
use super::refusal::without_secrets;

/// What stands in place of a secret.
const MASK: &str = "***";

/// Fields that are put in with the credentials and tell nothing.
const HARMLESS: [&str; 3] = ["x-amz-date", "x-amz-content-sha256", "webhook-timestamp"];

/// Of these, the ones that say when.
const TIMES: [&str; 2] = ["x-amz-date", "webhook-timestamp"];

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// `POST`, or `SMTP` for a transaction with a mail server.
    pub method: String,
    /// Where to; what stands behind a `?` is masked.
    pub url: String,
    /// Header fields, or for a mail server its commands before the content. Secrets are masked.
    pub headers: Vec<(String, String)>,
    /// Octet by octet.
    pub body: Bytes,
    /// Its media type.
    pub content_type: String,
    /// What of it is another each time.
    pub varies: Option<Varies>,
}

/// What a request depends on besides the message and the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Varies {
    /// It carries the time at which it leaves, and a signature of it.
    Time,
    /// On what the mail server offers when it is connected.
    Offer,
}

impl Shown {
    /// What the client makes of this request. `before`: its header without the credentials; what came with them is shown
    /// only where it is known to be harmless, so that a new kind of key is masked before anybody has thought of it.
    pub(super) fn of(request: &Request<Bytes>, before: &HeaderMap, secrets: &[&str]) -> Self {
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let mut headers = vec![
            (HOST.to_string(), host),
            ("user-agent".to_owned(), user_agent()),
            ("content-length".to_owned(), request.body().len().to_string()),
        ];
        let censored = |text: &str| without_secrets(text.to_owned(), secrets.iter().copied());
        headers.extend(request.headers().iter().map(|(name, value)| {
            let secret = is_secret(name, value, before);
            let text = if secret {
                masked(name, value)
            } else {
                censored(&String::from_utf8_lossy(value.as_bytes()))
            };
            (name.to_string(), text)
        }));
        let is_timed = TIMES.iter().any(|name| request.headers().contains_key(*name));
        let content_type = request.headers().get(http::header::CONTENT_TYPE);
        Self {
            method: request.method().to_string(),
            url: censored(&without_query(request.uri())),
            headers,
            content_type: content_type
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned(),
            body: request.body().clone(),
            varies: is_timed.then_some(Varies::Time),
        }
    }
}

fn is_secret(name: &HeaderName, value: &HeaderValue, before: &HeaderMap) -> bool {
    let came_with_credentials = !before.contains_key(name) && !HARMLESS.contains(&name.as_str());
    let names = [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE];
    value.is_sensitive() || came_with_credentials || names.contains(name)
}

/// The scheme may be seen.
fn masked(name: &HeaderName, value: &HeaderValue) -> String {
    let scheme =
        value.to_str().ok().and_then(|text| text.split_once(' ')).map(|(scheme, _)| scheme);
    match scheme {
        Some(scheme) if *name == AUTHORIZATION => format!("{scheme} {MASK}"),
        Some(_) | None => MASK.to_owned(),
    }
}

/// Receivers may have a key in their address.
fn without_query(uri: &Uri) -> String {
    let text = uri.to_string();
    match text.split_once('?') {
        Some((before, _)) => format!("{before}?{MASK}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request<Bytes> {
        let mut request = Request::new(Bytes::from_static(b"{}"));
        *request.uri_mut() = "https://api.example/mail?key=s3cret".parse().unwrap();
        request.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
        request
    }

    fn value<'a>(shown: &'a Shown, name: &str) -> &'a str {
        &shown.headers.iter().find(|(known, _)| known == name).unwrap().1
    }

    #[test]
    fn what_comes_with_the_credentials_is_masked_although_nobody_has_marked_it() {
        let mut request = request();
        let before = request.headers().clone();
        let headers = request.headers_mut();
        headers.insert("x-brand-new-key", HeaderValue::from_static("s3cret"));
        headers.insert("authorization", HeaderValue::from_static("Bearer s3cret"));
        headers.insert("x-amz-date", HeaderValue::from_static("20261121T100000Z"));
        let shown = Shown::of(&request, &before, &[]);
        assert_eq!(value(&shown, "x-brand-new-key"), "***");
        assert_eq!(value(&shown, "authorization"), "Bearer ***");
        assert_eq!(value(&shown, "content-type"), "application/json");
        assert_eq!(value(&shown, "host"), "api.example");
        assert_eq!(value(&shown, "content-length"), "2");
        assert_eq!(shown.url, "https://api.example/mail?***");
        assert_eq!(shown.varies, Some(Varies::Time));
        assert!(!format!("{shown:?}").contains("s3cret"));
    }

    #[test]
    fn a_secret_is_struck_out_wherever_it_stands() {
        let mut request = request();
        *request.uri_mut() = "https://api.example/s3cret/mail".parse().unwrap();
        request.headers_mut().insert("x-note", HeaderValue::from_static("of s3cret"));
        let before = request.headers().clone();
        let shown = Shown::of(&request, &before, &["s3cret"]);
        assert!(!format!("{shown:?}").contains("s3cret"), "{shown:?}");
        assert_eq!(shown.varies, None);
    }
}
