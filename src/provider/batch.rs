//! Several calls in one request, for APIs that take a list and answer with one.

use serde_json::Value;

use super::api::Joined;
use super::exchange::{ANSWER_MAX, Answer};
use super::refusal::{no_receipt, refusal};
use super::{Call, Receipt, SendError, Verdict};

/// The bodies of the calls as one JSON list. A call with a key of its own cannot share a request: the service would
/// know the others by it as well.
pub(super) fn as_list(calls: &[Call]) -> Option<Call> {
    if !calls.iter().all(stands_in_list) {
        return None;
    }
    let size = calls.iter().map(|call| call.body.len() + 1).sum::<usize>() + 1;
    let mut body = Vec::with_capacity(size);
    for call in calls {
        body.push(if body.is_empty() { b'[' } else { b',' });
        body.extend_from_slice(&call.body);
    }
    body.push(b']');
    Some(Call::new(body, "application/json"))
}

/// Whether nothing of the call is beside its body.
pub(super) fn stands_in_list(call: &Call) -> bool {
    call.key.is_none() && call.envelope.is_none()
}

/// The outcome of each member, by what stands in its place of the answer's list.
///
/// A place that is empty, or has nothing in it by which `read` could tell, leaves it open whether its message was taken.
/// What stands beyond the last member means nothing.
pub(super) fn outcomes(
    answer: &Answer,
    items: &[Value],
    members: usize,
    read: impl Fn(&Value) -> Option<Result<Receipt, SendError>>,
) -> Joined {
    let outcome = |place: usize| {
        let read = items.get(place).and_then(&read);
        read.unwrap_or_else(|| {
            let words = "the answer says nothing about this message of the batch";
            Err(SendError { unclear: true, ..refusal(answer, later(), words) })
        })
    };
    Ok((0..members).map(outcome).collect())
}

/// What a success without a list means.
pub(super) fn no_list(answer: &Answer, service: &str) -> SendError {
    if answer.body.len() >= ANSWER_MAX {
        let words = "the answer to the batch is too long to be read";
        return SendError { unclear: true, ..refusal(answer, later(), words) };
    }
    no_receipt(answer, service)
}

fn later() -> Verdict {
    Verdict::Temporary { retry_after: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_stand_in_the_list_in_their_order() {
        let calls =
            ["{\"a\":1}", "{}", "{\"b\":2}"].map(|body| Call::new(body, "application/json"));
        let joined = as_list(&calls).unwrap();
        assert_eq!(joined.body, r#"[{"a":1},{},{"b":2}]"#);
        assert_eq!(joined.content_type, "application/json");
    }

    #[test]
    fn a_call_with_a_key_of_its_own_travels_alone() {
        let call = Call::new("{}", "application/json");
        let own = Call { key: Some("mine".to_owned()), ..call.clone() };
        assert_eq!(as_list(&[call, own]), None);
    }
}
