//! The cookie that holds a session's id.

use axum::http::HeaderMap;
use axum::http::header::{COOKIE, HeaderValue};

use super::host::is_secure;
use super::sessions::ID_LENGTH;

/// Over plain HTTP.
const NAME: &str = "mailferry";
/// Over HTTPS. Browsers take a cookie of this name only from the very host, over HTTPS, and for every path, so that no
/// neighbouring host can set one.
const SECURE_NAME: &str = "__Host-mailferry";

/// The ids that a browser presents. Over HTTPS only the cookie counts that no neighbouring host can set. There may be others
/// of its name besides the right one where that is not so, and before it: all are looked at, which the limit of a head
/// bounds.
pub(in crate::http) fn presented<'a>(headers: &'a HeaderMap) -> impl Iterator<Item = &'a str> + 'a {
    let expected = name(is_secure(headers));
    let pairs = headers.get_all(COOKIE).iter().filter_map(|field| field.to_str().ok());
    let pairs = pairs.flat_map(|field| field.split(';'));
    pairs.filter_map(move |pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == expected && value.len() == ID_LENGTH).then_some(value)
    })
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

    fn of(pairs: &[(&'static str, &str)]) -> Vec<String> {
        presented(&headers(pairs)).map(str::to_owned).collect()
    }

    #[test]
    fn ids_are_found_among_other_cookies() {
        let (a, b) = ("a".repeat(ID_LENGTH), "b".repeat(ID_LENGTH));
        let of = |text: String| of(&[("cookie", &text)]);
        assert_eq!(of(format!("lang=ko; mailferry={a}; theme=dark")), std::slice::from_ref(&a));
        assert_eq!(of(format!("mailferry={a}; mailferry={b}")), [a.clone(), b.clone()]);
        assert!(of(format!("xmailferry={a}; mailferry; Mailferry={a}; mailferry=")).is_empty());
        // A neighbour with a narrower path comes first, as often as it likes.
        let tossed = format!("mailferry={b};").repeat(100);
        assert_eq!(of(format!("mailferry=x;{tossed}mailferry={a}")).last(), Some(&a));
    }

    #[test]
    fn over_https_only_the_cookie_counts_that_no_neighbour_can_set() {
        let (own, tossed) = ("a".repeat(ID_LENGTH), "b".repeat(ID_LENGTH));
        let both = format!("mailferry={tossed}; __Host-mailferry={own}");
        assert_eq!(of(&[("cookie", &both), ("x-forwarded-proto", "https")]), [own]);
        assert_eq!(of(&[("cookie", &both)]), [tossed]);
    }
}
