//! Messages for eyes. Whatever comes from a message is tidied first: a subject must not steer the terminal.

use crate::cli::output::{said_by, tidy};
use crate::clock::Timestamp;
use crate::message::{Dsn, Notify, Ret};
use crate::queue::{Details, Page, RecipientStatus, State, Summary};

const ADDRESS_WIDTH: usize = 60;
const TEXT_WIDTH: usize = 100;

/// `limit`: how many were asked for. A page that has fewer, and yet a next one, has not looked at everything.
pub(super) fn page(page: &Page, limit: usize) -> String {
    let mut text = String::new();
    if page.messages.is_empty() {
        text.push_str(if page.next.is_some() { "no messages so far\n" } else { "no messages\n" });
    }
    for summary in &page.messages {
        text.push_str(&format!(
            "{}  {:<9}  {:.0}  {} -> {}  {}\n",
            summary.id,
            summary.state.name(),
            summary.received_at,
            sender(summary),
            recipients(&summary.recipients),
            tidy(&summary.index.subject, TEXT_WIDTH),
        ));
        if let Some(error) = summary.error.as_ref().filter(|error| !error.is_empty()) {
            let error = said_by(summary.provider.as_deref(), error);
            text.push_str(&format!("    {}\n", tidy(&error, TEXT_WIDTH)));
        }
        if summary.in_doubt {
            text.push_str(&format!("    {}\n", tidy(&doubt(summary), TEXT_WIDTH)));
        }
    }
    if let Some(next) = page.next {
        let what = if page.messages.len() < limit {
            "not all messages have been looked at yet; search further"
        } else {
            "there are more"
        };
        text.push_str(&format!("{what}: --before {next}\n"));
    }
    text
}

fn sender(summary: &Summary) -> String {
    summary.sender.as_ref().map_or("<>".to_owned(), |sender| tidy(sender.as_str(), ADDRESS_WIDTH))
}

fn recipients(recipients: &[RecipientStatus]) -> String {
    match recipients {
        [] => "nobody".to_owned(),
        [only] => tidy(only.address.as_str(), ADDRESS_WIDTH),
        [first, others @ ..] => {
            format!("{} (+{})", tidy(first.address.as_str(), ADDRESS_WIDTH), others.len())
        }
    }
}

pub(super) fn details(details: &Details, now: Timestamp) -> String {
    let summary = &details.summary;
    let mut text = String::new();
    let mut row = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("{name:<12}  {}\n", tidy(value, 1000)));
        }
    };
    row("id", &summary.id.to_string());
    row("state", summary.state.name());
    row("error", summary.error.as_deref().unwrap_or_default());
    row("received", &format!("{:.0}", summary.received_at));
    if summary.in_doubt {
        row("doubt", &doubt(summary));
    }
    row("next", &next_step(summary, now));
    row("sender", &sender(summary));
    row("from", &summary.index.header_from);
    row("subject", &summary.index.subject);
    row("message id", &summary.index.message_id);
    row("size", &format!("{} bytes", summary.size));
    row("user", summary.user.as_deref().unwrap_or_default());
    row("route", summary.way.name());
    row("provider", summary.provider.as_deref().unwrap_or_default());
    for attempt in &details.attempts {
        if let Some(name) = &attempt.provider_message_id {
            row("provider id", &format!("{name} ({})", attempt.provider));
        }
    }

    text.push_str("recipients\n");
    for recipient in &summary.recipients {
        let state = recipient.state.name();
        let reason = recipient.reason.as_deref().unwrap_or_default();
        let line = format!("  {state:<10}  {}  {}", recipient.address, tidy(reason, 1000));
        text.push_str(&format!("{}\n", line.trim_end()));
    }
    if let Some(dsn) = &details.dsn {
        text.push_str(&wishes(dsn));
    }
    if details.attempts.is_empty() {
        text.push_str("no attempts yet\n");
        return text;
    }
    text.push_str("attempts\n");
    for attempt in &details.attempts {
        let said = attempt.error.as_deref().or(attempt.provider_message_id.as_deref());
        let line = format!(
            "  {:.0}  {}  {}  {} ms  {}",
            attempt.at,
            attempt.provider,
            attempt.outcome.name(),
            attempt.latency_ms,
            tidy(said.unwrap_or_default(), 1000)
        );
        text.push_str(&format!("{}\n", line.trim_end()));
        for loss in &attempt.losses {
            let mark = if loss.grave { "lost" } else { "not carried" };
            let line = format!("    {mark}: {} ({})", loss.what, loss.why);
            text.push_str(&format!("{}\n", tidy(&line, 1000)));
        }
    }
    text
}

/// That nobody knows how the last call ended.
fn doubt(summary: &Summary) -> String {
    let provider = summary.maybe_at.as_deref().unwrap_or("its provider");
    format!("it may have arrived at {provider}: nobody knows how the last call ended")
}

/// What happens to the message now, or what can be done.
fn next_step(summary: &Summary, now: Timestamp) -> String {
    let id = summary.id;
    let by = summary.maybe_at.as_deref().filter(|_| summary.in_doubt);
    match summary.state {
        State::Queued => {
            let when = match summary.next_attempt_at.filter(|next| *next > now) {
                Some(next) => format!("tried at {next:.0}"),
                None => "tried as soon as a provider takes it".to_owned(),
            };
            by.map_or(when.clone(), |provider| format!("{when}, first by {provider} again"))
        }
        State::Sending => "on its way to a provider: the outcome is about to come".to_owned(),
        State::Failed => match by {
            Some(provider) => format!(
                "nothing by itself: look at {provider} whether it arrived; if not, `mailferry queue retry {id}`"
            ),
            None => format!("nothing by itself; `mailferry queue retry {id}` tries it again"),
        },
        State::Cancelled => {
            format!("nothing by itself; `mailferry queue retry {id}` has it sent nevertheless")
        }
        State::Delivered => String::new(),
    }
}

/// The parameters of RFC 3461, as a client says them.
fn wishes(dsn: &Dsn) -> String {
    let mut line = "wishes about notifications (none are sent yet):".to_owned();
    match dsn.ret {
        Some(Ret::Full) => line.push_str(" RET=FULL"),
        Some(Ret::Hdrs) => line.push_str(" RET=HDRS"),
        None => {}
    }
    if let Some(id) = &dsn.envelope_id {
        line.push_str(&format!(" ENVID={id}"));
    }
    let mut text = format!("{}\n", tidy(line.trim_end_matches(':'), 1000));
    for recipient in &dsn.recipients {
        let mut line = format!("  {} ", recipient.address);
        if let Some(notify) = &recipient.notify {
            let names = notify.iter().map(|condition| match condition {
                Notify::Success => "SUCCESS",
                Notify::Failure => "FAILURE",
                Notify::Delay => "DELAY",
            });
            let names = names.collect::<Vec<_>>().join(",");
            line.push_str(&format!(" NOTIFY={}", if names.is_empty() { "NEVER" } else { &names }));
        }
        if let Some(original) = &recipient.original {
            line.push_str(&format!(" ORCPT={};{}", original.address_type, original.address));
        }
        text.push_str(&format!("{}\n", tidy(&line, 1000)));
    }
    text
}
