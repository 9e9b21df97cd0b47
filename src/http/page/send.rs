//! A test mail: filled in, sent at once, answered in the provider's words, with what is to be done.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::super::access::Caller;
use super::super::form::Form;
use super::super::health::Report;
use super::super::side::Context;
use super::super::test_input::TestMail;
use super::super::test_mail;
use super::acts::lines;
use super::frame::{Frame, Section};
use super::list::Choice;
use super::render;
use super::visit::Visit;
use super::words::{Words, fill};
use crate::config::SenderConfig;
use crate::delivery::{Cause, NotSent, Sent};
use crate::queue::Outcome;

/// `GET /send`
pub(in crate::http) async fn show(Shared(context): Shared<Arc<Context>>, visit: Visit) -> Response {
    let filled = Filled::fresh(visit.words());
    page(&context, &visit, StatusCode::OK, filled, None).await
}

/// `POST /send`
pub(in crate::http) async fn send(
    Shared(context): Shared<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    visit: Visit,
    Extension(form): Extension<Form>,
) -> Response {
    let filled = Filled::of(&form);
    let (status, answer) = attempt(&context, &caller, &filled, visit.words()).await;
    page(&context, &visit, status, filled, Some(answer)).await
}

async fn attempt(
    context: &Arc<Context>,
    caller: &Caller,
    filled: &Filled,
    t: &'static Words,
) -> (StatusCode, Answer) {
    let body = filled.as_json().to_string();
    let mail = TestMail::parse(body.as_bytes(), &context.rules.load().sender);
    let sent = async {
        context.may_send(caller)?;
        test_mail::send_one(context, mail?).await
    };
    match sent.await {
        Ok(Ok(sent)) => (StatusCode::OK, Answer::sent(&sent, context.is_catching(), t)),
        Ok(Err(not_sent)) => {
            let outcome = match not_sent.id {
                Some(id) => match context.ask(context.side.store.show(id)).await {
                    Ok(Some(details)) => details.attempts.last().map(|it| it.outcome),
                    Ok(None) | Err(_) => None,
                },
                None => None,
            };
            (test_mail::status_of(not_sent.cause), Answer::not_sent(&not_sent, outcome, t))
        }
        Err(problem) => {
            let status = problem.status;
            (status, Answer { title: t.correct_input.to_owned(), ..Answer::bad(problem.message) })
        }
    }
}

async fn page(
    context: &Context,
    visit: &Visit,
    status: StatusCode,
    filled: Filled,
    answer: Option<Answer>,
) -> Response {
    let report = Report::take(context).await;
    let t = visit.words();
    let frame = Frame::new(visit, Section::Send, context.is_catching()).live(&report);
    let names = context.side.delivery.providers();
    let choice = |name: String| Choice { chosen: name == filled.provider, name };
    let page = SendPage {
        t,
        from_hint: from_hint(&context.rules.load().sender, t),
        providers: names.into_iter().map(choice).collect(),
        frame,
        filled,
        answer,
    };
    render(status, &page)
}

/// What goes out where nobody says who sends.
fn from_hint(sender: &SenderConfig, t: &'static Words) -> String {
    match &sender.address {
        Some(address) if sender.name.is_empty() => fill(t.send_from_hint, &[address.as_str()]),
        Some(address) => fill(t.send_from_hint, &[&format!("{} <{address}>", sender.name)]),
        None => t.send_from_needed.to_owned(),
    }
}

#[derive(Debug, Template)]
#[template(path = "send.html", whitespace = "minimize")]
struct SendPage {
    frame: Frame,
    t: &'static Words,
    filled: Filled,
    from_hint: String,
    providers: Vec<Choice>,
    answer: Option<Answer>,
}

/// What stands in the form.
#[derive(Debug, Default)]
struct Filled {
    to: String,
    from: String,
    subject: String,
    content: String,
    provider: String,
}

/// What came of it.
#[derive(Debug, Default)]
struct Answer {
    good: bool,
    title: String,
    /// In the provider's words, or the API's.
    words: Option<String>,
    note: Option<String>,
    todo: Option<&'static str>,
    /// The record of the message.
    link: Option<String>,
}

impl Filled {
    fn fresh(t: &'static Words) -> Self {
        Self {
            subject: t.send_subject_default.to_owned(),
            content: t.send_content_default.to_owned(),
            ..Self::default()
        }
    }

    fn of(form: &Form) -> Self {
        let field = |name| form.get(name).unwrap_or_default().to_owned();
        Self {
            to: field("to"),
            from: field("from"),
            subject: field("subject"),
            content: field("content"),
            provider: field("provider"),
        }
    }

    /// As the API takes it, which has the rules. What is empty is not said.
    fn as_json(&self) -> serde_json::Value {
        let mut body = json!({
            "to": lines(&self.to).collect::<Vec<_>>(),
            "subject": self.subject,
            "content": self.content,
        });
        for (name, value) in [("from", &self.from), ("provider", &self.provider)] {
            if !value.trim().is_empty() {
                body[name] = json!(value.trim());
            }
        }
        body
    }
}

impl Answer {
    fn sent(sent: &Sent, catching: bool, t: &'static Words) -> Self {
        let title =
            if catching { t.sent_caught.to_owned() } else { fill(t.sent, &[&sent.provider]) };
        let note = sent.provider_message_id.as_ref().map(|id| fill(t.sent_id, &[id]));
        let link = Some(format!("/messages/{}", sent.id));
        Self { good: true, title, note, link, ..Self::default() }
    }

    fn not_sent(not_sent: &NotSent, outcome: Option<Outcome>, t: &'static Words) -> Self {
        let title = match &not_sent.provider {
            Some(name) => fill(t.not_sent_by, &[name]),
            None => t.not_sent.to_owned(),
        };
        let todo = match (not_sent.cause, outcome) {
            (Cause::NoProvider, _) => t.do_no_provider,
            (Cause::Store, _) => t.do_store,
            (Cause::Suppressed, _) => t.do_suppressed,
            (_, Some(Outcome::Misconfigured)) => t.do_misconfigured,
            (_, Some(Outcome::Rejected)) => t.do_rejected,
            (_, Some(Outcome::Unfit)) => t.do_unfit,
            (_, Some(Outcome::Bug)) => t.do_bug,
            (Cause::Rejected, _) => t.do_unknown,
            (Cause::Unavailable, _) => t.do_unavailable,
        };
        let link = not_sent.id.map(|id| format!("/messages/{id}"));
        Self { title, todo: Some(todo), link, ..Self::bad(not_sent.error.clone()) }
    }

    fn bad(words: String) -> Self {
        Self { words: Some(words), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::Lang;
    use super::*;

    #[test]
    fn what_is_not_filled_in_is_not_said() {
        let form = Form::from([("to", "ada@example.org\r\nbob@example.org\r\n"), ("from", " ")]);
        let body = Filled::of(&form).as_json();
        assert_eq!(body["to"], json!(["ada@example.org", "bob@example.org"]));
        assert_eq!((body.get("from"), body.get("provider")), (None, None));
    }

    #[test]
    fn a_refusal_says_what_to_do_by_its_kind() {
        let t = Lang::English.words();
        let not_sent = |cause| NotSent {
            id: None,
            provider: Some("resend".to_owned()),
            error: "401: API key is invalid".to_owned(),
            cause,
        };
        let answer =
            Answer::not_sent(&not_sent(Cause::Unavailable), Some(Outcome::Misconfigured), t);
        assert_eq!(answer.title, "resend did not take the mail.");
        assert_eq!(answer.todo, Some(t.do_misconfigured));
        assert_eq!(answer.words.as_deref(), Some("401: API key is invalid"));
        let answer = Answer::not_sent(&not_sent(Cause::Unavailable), None, t);
        assert_eq!(answer.todo, Some(t.do_unavailable));
        let answer = Answer::not_sent(&not_sent(Cause::NoProvider), None, t);
        assert_eq!(answer.todo, Some(t.do_no_provider));
    }
}
