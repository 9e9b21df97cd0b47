//! Whether the requests that came are what the real service describes.

use std::collections::HashSet;

use super::{Recorded, Service};
use crate::support::specs::Request;

/// How many different bodies are looked at; thousands of a load would all be built alike.
const BODIES_MAX: usize = 200;

/// Everything that is wrong with these requests; nothing where the description is not at hand, which is noted elsewhere.
pub(super) fn faults(service: Service, requests: &[Recorded]) -> Vec<String> {
    let Some(description) = service.description() else { return Vec::new() };
    // A body is missing where the connection was torn before it was read; a repeat has the body of the first.
    let whole = requests.iter().filter(|request| !request.sends || !request.body.is_empty());
    let mut seen = HashSet::new();
    let different =
        whole.filter(|it| seen.insert((&it.head.method, &it.head.path, it.body.as_slice())));
    let different: Vec<_> = different.collect();

    // Spread over the whole time, first and last among them.
    let step = different.len().div_ceil(BODIES_MAX).max(1);
    let last = different.last().filter(|_| step > 1).copied();
    let judged = different.iter().copied().step_by(step).chain(last);
    let faults = judged.flat_map(|request| {
        description.faults(&Request {
            method: &request.head.method,
            path: &request.head.path,
            content_type: request.header("content-type"),
            idempotency_key: request.header("idempotency-key"),
            body: &request.body,
        })
    });
    faults.collect()
}
