//! `GET /messages/{id}/html`: the HTML of a mail, for a frame of the page.
//!
//! Two walls stand between a hostile mail and who reads it. What can run or call is taken out of the HTML
//! ([`view::frame`]). And the document is served under a policy of its own, whoever opens it: no script, no form, an
//! origin of its own without our cookies, nothing loaded but images, and those of other hosts only when they were asked
//! for.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, Request, State as Shared};
use axum::http::header::{CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use url::form_urlencoded;

use super::api::{IdPath, parse_id};
use super::content;
use super::error::Problem;
use super::page;
use super::side::Context;
use crate::message::view::{self, Remote};

/// What the page puts into the attribute `sandbox` of the frame; the policies below say the same. Links open in a tab of
/// their own, which is an ordinary one.
pub(super) const SANDBOX: &str = "allow-popups allow-popups-to-escape-sandbox";

/// The policy that a mail is shown under.
fn policy(remote: Remote) -> String {
    let images = match remote {
        Remote::Blocked => "data:",
        Remote::Allowed => "data: https: http:",
    };
    format!(
        "sandbox {SANDBOX}; default-src 'none'; style-src 'unsafe-inline'; img-src {images}; \
         form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
    )
}

/// `GET /messages/{id}/html`, with `?images=remote` when the reader has asked for images of other hosts.
pub(super) async fn frame(
    Shared(context): Shared<Arc<Context>>,
    RawQuery(query): RawQuery,
    id: IdPath,
) -> Response {
    let remote = remote(query.as_deref().unwrap_or(""));
    let frame = async {
        let id = parse_id(id)?;
        let place = content::showing(&context).await?;
        let frame = content::read(&context, id, move |raw| view::frame(raw, remote)).await?;
        Ok(content::held(frame.document, place))
    };
    match frame.await {
        Ok(document) => {
            let headers = [
                (CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
                (CONTENT_SECURITY_POLICY, policy(remote)),
                // Unlike our own pages, a mail tells nobody that it is read here.
                (REFERRER_POLICY, "no-referrer".to_owned()),
                // Names in links would be looked up, and that can be seen from outside.
                (HeaderName::from_static("x-dns-prefetch-control"), "off".to_owned()),
            ];
            (headers, document).into_response()
        }
        Err(problem) => page::problem(&problem),
    }
}

/// Stands around the frame and its door. What goes wrong is told within the frame: the page that tells of problems
/// otherwise, and the one to log in by, may not be framed, and a browser would show an error of its own in their place.
pub(super) async fn in_a_frame(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    // A person who opens it in a window is led to the way in, as everywhere.
    let in_window = parts.headers.get(SEC_FETCH_DEST).is_some_and(|place| place == "document");
    let mut response = next.run(Request::from_parts(parts.clone(), body)).await;
    if response.status() == StatusCode::SEE_OTHER && !in_window {
        let ended = "the session has ended; load the page again";
        response = page::problem(&Problem::unauthorized(ended, false));
    }
    let Some(told) = page::told_in_words(&parts, &mut response) else { return response };
    let length = HeaderValue::from(told.len());
    *response.body_mut() = Body::from(told);
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(content::TEXT_POLICY));
    response
}

const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

fn remote(query: &str) -> Remote {
    let asked = form_urlencoded::parse(query.as_bytes())
        .any(|(name, value)| name == "images" && value == "remote");
    if asked { Remote::Allowed } else { Remote::Blocked }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_other_hosts_are_loaded_only_when_they_were_asked_for() {
        assert_eq!(remote("images=remote"), Remote::Allowed);
        for query in ["", "images", "images=1", "images=none", "x=images=remote"] {
            assert_eq!(remote(query), Remote::Blocked, "{query}");
        }
        assert!(policy(Remote::Blocked).contains("img-src data:;"));
        assert!(policy(Remote::Allowed).contains("img-src data: https: http:;"));
    }

    #[test]
    fn no_policy_lets_anything_run() {
        for policy in [policy(Remote::Blocked), policy(Remote::Allowed)] {
            assert!(policy.starts_with(&format!("sandbox {SANDBOX}; default-src 'none';")));
            for word in ["allow-scripts", "allow-same-origin", "allow-forms", "top-navigation", "*"]
            {
                assert!(!policy.contains(word), "{policy}");
            }
            assert!(!policy.contains("script-src") && !policy.contains("connect-src"));
        }
    }
}
