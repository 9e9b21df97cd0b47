//! `/login` and `/logout`: the token once, a cookie from then on.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{RawQuery, Request, State as Shared};
use axum::http::header::{HeaderName, HeaderValue, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;
use tracing::{info, warn};
use url::{Url, form_urlencoded};

use super::access::{Caller, Guesser, LoginRefused, Who, cookie, is_secure};
use super::error::Problem;
use super::form::Form;
use super::page;
use super::server::Peer;
use super::side::Context;

/// The largest login form.
const BODY_MAX: usize = 16 * 1024;

/// The longest path that a login leads back to, octets.
const NEXT_MAX: usize = 2000;

/// What a login form tells whoever must fill it in again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It was not the token.
    Wrong,
    /// So many seconds to wait.
    TooMany(u64),
}

/// `GET /login`: the form, or the page itself for whoever needs none.
pub(super) async fn form(
    Shared(context): Shared<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let next = form_urlencoded::parse(query.as_deref().unwrap_or("").as_bytes())
        .find_map(|(name, value)| (name == "next").then(|| value.into_owned()));
    let next = local_path(next.as_deref().unwrap_or(""));
    let needs_none = caller.may_log_out() || *caller.who() == Who::Token;
    if needs_none || !context.rules.load().access.has_token() {
        return see_other(&next);
    }
    page::login(&headers, StatusCode::OK, &next, None)
}

/// `POST /login`
pub(super) async fn log_in(
    Shared(context): Shared<Arc<Context>>,
    Extension(Peer(peer)): Extension<Peer>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    let headers = request.headers().clone();
    let form = match Form::read(request, BODY_MAX).await {
        Ok(form) => form,
        Err(found) => return page::problem(&found),
    };
    let next = local_path(form.get("next").unwrap_or(""));
    let token = form.get("token").unwrap_or("");
    let rules = context.rules.load_full();
    if !rules.access.has_token() {
        return see_other(&next);
    }
    let guesser = Guesser::new(peer.ip(), caller.client());
    match rules.access.log_in(&context.memory, guesser, token, Instant::now()) {
        Ok(id) => {
            // The browser forgets what it had; nobody else shall go on with it.
            end_sessions(&context, &headers);
            info!(%peer, "http: somebody has logged in");
            let mut answer = see_other(&next);
            answer.headers_mut().append(SET_COOKIE, cookie::set(&id, is_secure(&headers)));
            answer
        }
        Err(LoginRefused::Wrong(delay)) => {
            warn!(%peer, client = %caller.client(), "http: a login with a wrong token");
            context.hold_back(delay).await;
            page::login(&headers, StatusCode::UNAUTHORIZED, &next, Some(Trouble::Wrong))
        }
        Err(LoginRefused::TooManyGuesses(seconds)) => {
            let trouble = Some(Trouble::TooMany(seconds));
            let mut answer = page::login(&headers, StatusCode::TOO_MANY_REQUESTS, &next, trouble);
            answer.headers_mut().extend(Problem::too_many("", seconds).headers());
            answer
        }
    }
}

/// Ends whatever session a browser has shown, also where it was let in by the token itself.
fn end_sessions(context: &Context, headers: &HeaderMap) {
    for id in cookie::presented(headers) {
        context.memory.sessions.end(id);
    }
}

/// `POST /logout`. It stands behind the door of the forms.
pub(super) async fn log_out(Shared(context): Shared<Arc<Context>>, headers: HeaderMap) -> Response {
    end_sessions(&context, &headers);
    let mut answer = see_other("/login");
    answer.headers_mut().append(SET_COOKIE, cookie::forget(false));
    if is_secure(&headers) {
        answer.headers_mut().append(SET_COOKIE, cookie::forget(true));
    }
    answer
}

/// Where somebody without a token is sent who wants to see `uri`.
pub(super) fn way_in(uri: &Uri) -> String {
    let wanted = uri.path_and_query().map_or("/", |wanted| wanted.as_str());
    match local_path(wanted) {
        path if path == "/" => "/login".to_owned(),
        path => {
            let mut query = form_urlencoded::Serializer::new(String::new());
            format!("/login?{}", query.append_pair("next", &path).finish())
        }
    }
}

/// The answer to whoever follows a link of another site and shows no cookie. A strict cookie does not come along with such
/// a request, so he may be logged in: the page asks for the same place itself, and then the cookie comes.
pub(super) fn ask_again(uri: &Uri) -> Response {
    let path = local_path(uri.path_and_query().map_or("/", |wanted| wanted.as_str()));
    let mut answer = page::one_moment();
    // A path that is part of a URI is always a value.
    if let Ok(value) = HeaderValue::from_str(&format!("0; url={path}")) {
        answer.headers_mut().insert(REFRESH, value);
    }
    answer
}

const REFRESH: HeaderName = HeaderName::from_static("refresh");

/// 303, with which a browser asks by GET.
pub(super) fn see_other(path: &str) -> Response {
    let place = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(LOCATION, place)]).into_response()
}

/// `wanted` when it is a path of ours that may follow a login, else `/`. Read as browsers read it (the URL standard), so
/// that it cannot lead to another host.
pub(super) fn local_path(wanted: &str) -> String {
    let odd = |c: char| c.is_control() || c == '\\' || !c.is_ascii();
    if !wanted.starts_with('/') || wanted.len() > NEXT_MAX || wanted.contains(odd) {
        return "/".to_owned();
    }
    let Ok(here) = Url::parse("http://here.invalid/") else { return "/".to_owned() };
    let Ok(there) = here.join(wanted) else { return "/".to_owned() };
    let path = there.path();
    // A path that begins with two slashes would be read as a host where it is written alone.
    let local = there.origin() == here.origin() && !path.starts_with("//");
    if !local || path == "/login" || path == "/logout" {
        return "/".to_owned();
    }
    match there.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_back_to_paths_of_ours_only() {
        for (wanted, path) in [
            ("/messages/1?tab=text", "/messages/1?tab=text"),
            ("/?q=%EA%B0%80+b&state=failed", "/?q=%EA%B0%80+b&state=failed"),
            ("/a/../b", "/b"),
            ("/x#part", "/x"),
            ("", "/"),
            ("messages", "/"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("/\t/evil.example", "/"),
            ("/.//evil.example", "/"),
            ("/x/..//evil.example", "/"),
            ("https://evil.example/", "/"),
            ("javascript:alert(1)", "/"),
            ("/\r\nSet-Cookie: a=b", "/"),
            ("/login?next=/login", "/"),
            ("/logout", "/"),
        ] {
            assert_eq!(local_path(wanted), path, "{wanted:?}");
        }
        assert_eq!(local_path(&format!("/{}", "a".repeat(NEXT_MAX))), "/");
    }

    #[test]
    fn the_way_in_knows_the_way_back() {
        let to = |uri: &str| way_in(&uri.parse().unwrap());
        assert_eq!(to("/"), "/login");
        assert_eq!(to("/messages/1?tab=a&b"), "/login?next=%2Fmessages%2F1%3Ftab%3Da%26b");
        assert_eq!(to("//evil.example/"), "/login");
    }

    #[test]
    fn a_link_of_another_site_is_asked_for_again_by_ourselves() {
        let refresh = |uri: &str| {
            let answer = ask_again(&uri.parse().unwrap());
            answer.headers().get(REFRESH).unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(refresh("/messages/1?tab=text"), "0; url=/messages/1?tab=text");
        assert_eq!(refresh("//evil.example"), "0; url=/");
    }
}
