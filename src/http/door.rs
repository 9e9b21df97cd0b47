//! The doors: who gets to a handler, and what the others are told.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State as Shared};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;
use tracing::debug;

use super::access::{Asking, Caller, Denied, Site, Who, cross_site, is_reading, site};
use super::error::Problem;
use super::form::Form;
use super::server::Peer;
use super::side::Context;
use super::{login, page};

/// Stands before all doors: finds out who asks, for the door and for the handler.
pub(super) async fn identify(
    Shared(context): Shared<Arc<Context>>,
    Extension(Peer(peer)): Extension<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let (uri, headers) = (request.uri(), request.headers());
    let asking = Asking { peer: peer.ip(), uri, headers, now: Instant::now() };
    let rules = context.rules.load_full();
    let caller = rules.access.caller(&context.memory, &asking);
    request.extensions_mut().insert(caller);
    // What lasts longer than a request asks whether these still hold.
    request.extensions_mut().insert(rules);
    next.run(request).await
}

/// The gate of what is open to everybody: only a page of another site may not act through it.
pub(super) async fn gate(request: Request, next: Next) -> Response {
    if !is_reading(request.method()) && cross_site(request.method(), request.headers()) {
        return page::problem(&Problem::cross_site());
    }
    next.run(request).await
}

/// The door of the API.
pub(super) async fn of_the_api(
    Shared(context): Shared<Arc<Context>>,
    Extension(peer): Extension<Peer>,
    Extension(caller): Extension<Caller>,
    request: Request,
    next: Next,
) -> Response {
    if cross_site(request.method(), request.headers()) {
        return Problem::cross_site().into_response();
    }
    if let Err(denied) = caller.check() {
        return refuse(&context, peer, denied, false).await.into_response();
    }
    if needs_proof(&caller, &request) {
        return Problem::no_csrf_token().into_response();
    }
    next.run(request).await
}

/// A cookie comes by itself. That a script of ours sends it is shown by what foreign ones cannot say.
fn needs_proof(caller: &Caller, request: &Request) -> bool {
    let (method, headers) = (request.method(), request.headers());
    match caller.who() {
        Who::Session(_) => {
            let proven = site(headers) == Site::Own || caller.has_csrf_field(headers);
            !is_reading(method) && !proven
        }
        Who::Trusted | Who::Token | Who::Stranger(_) => false,
    }
}

/// The door of the pages: the same rules, told to a person. A form reaches its handler as a [`Form`] among the
/// extensions, and only when it has brought back the token of this caller's forms.
pub(super) async fn of_pages(
    Shared(context): Shared<Arc<Context>>,
    Extension(peer): Extension<Peer>,
    Extension(caller): Extension<Caller>,
    request: Request,
    next: Next,
) -> Response {
    let (method, headers) = (request.method(), request.headers());
    if cross_site(method, headers) {
        return page::problem(&Problem::cross_site());
    }
    if caller.check() == Err(&Denied::TokenMissing) {
        return match site(headers) {
            Site::Foreign => login::ask_again(request.uri()),
            Site::Own | Site::Unsaid if is_reading(method) => {
                login::see_other(&login::way_in(request.uri()))
            }
            Site::Own | Site::Unsaid => login::see_other("/login"),
        };
    }
    if let Err(denied) = caller.check() {
        return page::problem(&refuse(&context, peer, denied, true).await);
    }
    // The pages know no other method that changes something: whatever else comes is refused behind the door.
    if method != Method::POST {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let form = Form::of(&caller, Request::from_parts(parts.clone(), body)).await;
    match form {
        Ok(form) => {
            let mut request = Request::from_parts(parts, Body::empty());
            request.extensions_mut().insert(form);
            next.run(request).await
        }
        Err(found) => page::problem(&found),
    }
}

/// What somebody is told who may not; a wrong token is told it late.
async fn refuse(context: &Context, Peer(peer): Peer, denied: &Denied, prompt: bool) -> Problem {
    debug!(%peer, ?denied, "http: refused");
    if let Denied::TokenWrong(delay) = denied {
        context.hold_back(*delay).await;
    }
    denied.problem(prompt)
}
