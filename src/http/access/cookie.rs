//! The cookie that holds a session's id.

use axum::http::HeaderMap;
use axum::http::header::{COOKIE, HeaderValue};

/// Over plain HTTP.
const NAME: &str = "mailferry";
/// Over HTTPS. Browsers take a cookie of this name only from the very host, over HTTPS, and for every path, so that no
/// neighbouring host can set one.
const SECURE_NAME: &str = "__Host-mailferry";

/// Cookies of one request that are looked at; a browser sends one of ours.
const CANDIDATES_MAX: usize = 4;

/// The ids that a browser presents.
pub(super) fn presented<'a>(headers: &'a HeaderMap) -> impl Iterator<Item = &'a str> + 'a {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|field| field.to_str().ok());
    let pairs = pairs.flat_map(|field| field.split(';'));
    let ours = pairs.filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == SECURE_NAME || name == NAME).then_some(value)
    });
    ours.take(CANDIDATES_MAX)
}

/// The field that has the browser keep `id` until it is closed.
pub(in crate::http) fn set(id: &str, secure: bool) -> HeaderValue {
    field(&format!("{}={id}{ATTRIBUTES}", name(secure)), secure)
}

/// The fields that have the browser forget it.
pub(in crate::http) fn forget(secure: bool) -> HeaderValue {
    field(&format!("{}={ATTRIBUTES}; Max-Age=0", name(secure)), secure)
}

const ATTRIBUTES: &str = "; Path=/; HttpOnly; SameSite=Strict";

fn name(secure: bool) -> &'static str {
    if secure { SECURE_NAME } else { NAME }
}

fn field(text: &str, secure: bool) -> HeaderValue {
    let text = if secure { format!("{text}; Secure") } else { text.to_owned() };
    // An id is Base64, the rest is ours: always a value.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::super::tests::headers;
    use super::*;

    #[test]
    fn the_cookie_is_out_of_reach_of_scripts_and_of_other_sites() {
        assert_eq!(set("abc", false), "mailferry=abc; Path=/; HttpOnly; SameSite=Strict");
        assert_eq!(
            set("abc", true),
            "__Host-mailferry=abc; Path=/; HttpOnly; SameSite=Strict; Secure"
        );
        assert_eq!(
            forget(true),
            "__Host-mailferry=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0; Secure"
        );
    }

    #[test]
    fn ids_are_found_among_other_cookies() {
        let of = |text: &str| {
            let headers = headers(&[("cookie", text)]);
            presented(&headers).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(of("lang=ko; mailferry=abc; theme=dark"), ["abc"]);
        assert_eq!(of("__Host-mailferry=abc"), ["abc"]);
        assert_eq!(of("mailferry=a; mailferry=b"), ["a", "b"]);
        assert_eq!(of(&"mailferry=a;".repeat(100)).len(), CANDIDATES_MAX);
        assert!(of("xmailferry=abc; mailferry; Mailferry=x").is_empty());
    }
}
