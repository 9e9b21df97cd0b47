//! Messages as the HTTP API shows them (SPEC 7), one document per line.

use serde::Serialize;

use crate::http::{MessageJson, PageJson};
use crate::message::QueueId;
use crate::queue::{Details, Page, StoreError};

#[derive(Serialize)]
struct ActedJson {
    id: QueueId,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(super) fn page(page: &Page) -> String {
    line(&PageJson::from(page))
}

pub(super) fn details(details: &Details) -> String {
    line(&MessageJson::from(details))
}

pub(super) fn acted(id: QueueId, error: Option<&StoreError>) -> String {
    line(&ActedJson { id, ok: error.is_none(), error: error.map(ToString::to_string) })
}

#[expect(clippy::expect_used, reason = "structs of texts, numbers and times always serialise")]
fn line(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string(value).expect("a plain struct");
    text.push('\n');
    text
}
