//! Whether a browser asks for our own page or for a page of another site.

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, Method};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// What a request says about the page that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Site {
    /// A page of ours, or a person who typed the address. Browsers say so; nobody can make them.
    Own,
    /// A page of another site.
    Foreign,
    /// Nothing is said, as by programs, and by browsers that follow a link over plain HTTP.
    Unsaid,
}

/// Reads `Sec-Fetch-Site`, which scripts cannot set, or else compares `Origin` with `Host`.
pub(in crate::http) fn site(headers: &HeaderMap) -> Site {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        let own = site == "same-origin" || site == "none";
        return if own { Site::Own } else { Site::Foreign };
    }
    let Some(origin) = headers.get(ORIGIN) else { return Site::Unsaid };
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    match (authority, host) {
        (Some((_, authority)), Some(host)) if authority.eq_ignore_ascii_case(host) => Site::Own,
        (Some(_) | None, Some(_) | None) => Site::Foreign,
    }
}

/// True for methods that change nothing.
pub(in crate::http) fn is_reading(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// True for a request of another site that it may not make. It may lead a person here by a link, and nothing else: no
/// form, no script, no picture, no stream of events.
pub(in crate::http) fn cross_site(method: &Method, headers: &HeaderMap) -> bool {
    match site(headers) {
        Site::Own | Site::Unsaid => false,
        Site::Foreign => !(is_reading(method) && is_navigation(headers)),
    }
}

/// True when a person follows a link, in a window and not in a frame. Browsers that name the site say this as well.
fn is_navigation(headers: &HeaderMap) -> bool {
    let window = headers.get(SEC_FETCH_DEST).is_none_or(|place| place == "document");
    window && headers.get(SEC_FETCH_MODE).is_some_and(|mode| mode == "navigate")
}

#[cfg(test)]
mod tests {
    use super::super::tests::headers;
    use super::*;

    const FOREIGN: [&[(&str, &str)]; 6] = [
        &[("sec-fetch-site", "cross-site"), ("host", "localhost")],
        &[("sec-fetch-site", "same-site"), ("host", "localhost")],
        &[("origin", "https://evil.example"), ("host", "localhost")],
        &[("origin", "null"), ("host", "localhost")],
        &[("origin", "http://localhost:3000"), ("host", "localhost:8025")],
        &[("origin", "http://localhost")],
    ];

    #[test]
    fn another_sites_browser_cannot_post() {
        for pairs in FOREIGN {
            assert!(cross_site(&Method::POST, &headers(pairs)), "{pairs:?}");
            assert!(cross_site(&Method::DELETE, &headers(pairs)), "{pairs:?}");
        }
        let link = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        assert!(cross_site(&Method::POST, &headers(&link)), "a form of another site");
        for pairs in [
            &[("host", "localhost")][..],
            &[("sec-fetch-site", "same-origin"), ("origin", "https://x"), ("host", "y")],
            &[("sec-fetch-site", "none")],
            &[("origin", "https://Mail.example.org"), ("host", "mail.example.org")],
        ] {
            assert!(!cross_site(&Method::POST, &headers(pairs)), "{pairs:?}");
        }
    }

    #[test]
    fn another_site_may_link_here_and_load_nothing() {
        let link = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        assert!(!cross_site(&Method::GET, &headers(&link)));
        for mode in ["no-cors", "cors", "websocket", "same-origin"] {
            let load = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", mode)];
            assert!(cross_site(&Method::GET, &headers(&load)), "{mode}");
        }
        let frame = [&link[..], &[("sec-fetch-dest", "iframe")]].concat();
        assert!(cross_site(&Method::GET, &headers(&frame)), "a frame of another site");
        let old = [("origin", "https://evil.example"), ("host", "192.168.1.2:8025")];
        assert!(cross_site(&Method::GET, &headers(&old)), "a script over plain HTTP");
        assert!(!cross_site(&Method::GET, &headers(&[("host", "192.168.1.2:8025")])));
    }

    #[test]
    fn only_a_browser_that_says_so_is_of_the_own_site() {
        assert_eq!(site(&headers(&[("host", "localhost")])), Site::Unsaid);
        assert_eq!(site(&headers(&[("sec-fetch-site", "none")])), Site::Own);
        let own = [("origin", "http://localhost:8025"), ("host", "localhost:8025")];
        assert_eq!(site(&headers(&own)), Site::Own);
    }
}
