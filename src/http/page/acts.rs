//! What a person does to messages: forms of the page. Each answers with the page on which its effect shows.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State as Shared;
use axum::response::Response;
use serde_json::json;
use tracing::info;

use super::super::access::Caller;
use super::super::act;
use super::super::api::{self, IdPath};
use super::super::error::Problem;
use super::super::form::Form;
use super::super::login::see_other;
use super::super::retry_input;
use super::super::side::Context;
use super::problem;
use crate::message::QueueId;
use crate::queue::Retry;

/// `POST /messages/{id}/retry`
pub(in crate::http) async fn retry(
    Shared(context): Shared<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    id: IdPath,
    Extension(form): Extension<Form>,
) -> Response {
    let done = async {
        context.may_submit(&caller)?;
        let id = api::parse_id(id)?;
        let retry = wanted(&form, context.rules.load().recipients_max)?;
        act::retry_message(&context, id, retry).await?;
        Ok(format!("/messages/{id}?tab=delivery&done=retry"))
    };
    answer(done.await)
}

/// `POST /messages/{id}/cancel`
pub(in crate::http) async fn cancel(Shared(context): Shared<Arc<Context>>, id: IdPath) -> Response {
    let done = async {
        let id = api::parse_id(id)?;
        act::cancel_message(&context, id).await?;
        Ok(format!("/messages/{id}?tab=delivery&done=cancel"))
    };
    answer(done.await)
}

/// `POST /messages/retry-failed`. Where one request does not do all, the page it leads to has a form that goes on: a new
/// beginning could meet the same messages again, which stay as they are, and never come to the end.
pub(in crate::http) async fn retry_failed(
    Shared(context): Shared<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    Extension(form): Extension<Form>,
) -> Response {
    let done = async {
        context.may_submit(&caller)?;
        let before = form.get("before").map(str::parse::<QueueId>).transpose();
        let before = before
            .map_err(|_| Problem::bad_input("invalid_field", "\"before\" is no id of a message"))?;
        let done = act::retry_slices(&context, before).await?;
        Ok(match done.next {
            Some(next) => format!("/messages?state=queued&done=retry-some&next={next}"),
            None => "/messages?state=queued&done=retry-all".to_owned(),
        })
    };
    answer(done.await)
}

/// 303 to where the effect shows, or what stood in the way.
pub(super) fn answer(done: Result<String, Problem>) -> Response {
    match done {
        Ok(path) => see_other(&path),
        Err(found) => {
            info!(problem = found.code, "http: a form of the page was refused");
            problem(&found)
        }
    }
}

/// What the form asks for. A list that was left as the form had it (`shown`) names nobody: it means those who wait when
/// this is done. Some of those that it showed may have got the mail meanwhile, and must not get it twice. Besides, a retry
/// without names is possible where one with names is not.
fn wanted(form: &Form, recipients_max: usize) -> Result<Retry, Problem> {
    let named: Vec<&str> = lines(form.get("recipients").unwrap_or_default()).collect();
    let provider = form.get("provider").map(str::trim).filter(|name| !name.is_empty());
    let as_it_is =
        named.is_empty() || lines(form.get("shown").unwrap_or_default()).eq(named.iter().copied());
    let mut body = json!({ "provider": provider });
    if !as_it_is {
        body["recipients"] = json!(named);
    }
    retry_input::parse(body.to_string().as_bytes(), recipients_max)
}

/// The lines of a text field that say something. Browsers end them by CR and LF.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split(['\r', '\n']).map(str::trim).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is asked for by a form that was shown for Bob.
    fn asked(recipients: &str, provider: &str) -> Result<Retry, Problem> {
        let shown = ("shown", "bob@example.org");
        wanted(&Form::from([shown, ("recipients", recipients), ("provider", provider)]), 3)
    }

    #[test]
    fn a_form_left_as_it_was_asks_for_nothing_in_particular() {
        assert_eq!(asked("bob@example.org\r\n", "").unwrap(), Retry::default());
        assert_eq!(asked(" \r\n", " ").unwrap(), Retry::default());
        assert_eq!(asked("", "ses").unwrap().provider.as_deref(), Some("ses"));
    }

    #[test]
    fn other_recipients_are_asked_for_by_name() {
        let retry = asked("bob@example.org\r\n\r\n carol@example.org", "").unwrap();
        let named: Vec<&str> =
            retry.recipients.iter().map(crate::message::Address::as_str).collect();
        assert_eq!(named, ["bob@example.org", "carol@example.org"]);
        let problem = asked("bob", "").unwrap_err();
        assert!(problem.message.contains("\"bob\" is not an address"), "{}", problem.message);
        assert!(asked("a@b.example\nb@b.example\nc@b.example\nd@b.example", "").is_err());
    }

    #[test]
    fn a_delivered_message_goes_again_to_those_who_are_named() {
        let form = Form::from([("recipients", "ada@example.org\nbob@example.org")]);
        assert_eq!(wanted(&form, 3).unwrap().recipients.len(), 2);
    }

    #[test]
    fn a_list_of_several_that_was_left_alone_names_nobody_however_its_lines_end() {
        let form = Form::from([
            ("shown", "ada@example.org\r\nbob@example.org"),
            ("recipients", "ada@example.org\nbob@example.org\n"),
            ("provider", "ses"),
        ]);
        let retry = wanted(&form, 3).unwrap();
        assert_eq!((retry.recipients.len(), retry.provider.as_deref()), (0, Some("ses")));
    }
}
