//! Messages as the HTTP API shows them (SPEC 7), and what was done, one document per line.

use std::path::Path;

use serde::Serialize;

use super::change::AllFailed;
use super::export::AllExported;
use crate::http::{MessageJson, PageJson};
use crate::queue::{Details, Page};

/// What became of one message. `id` is the name as it was given where it names no message.
#[derive(Serialize)]
struct ActedJson<'a> {
    id: &'a str,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct ExportedJson<'a> {
    id: &'a str,
    ok: bool,
    file: String,
    size: usize,
}

#[derive(Serialize)]
struct AllFailedJson {
    ok: bool,
    retried: u64,
    in_doubt: u64,
    without_content: u64,
    refused: u64,
}

#[derive(Serialize)]
struct AllExportedJson {
    ok: bool,
    exported: u64,
    without_content: u64,
    directory: String,
}

pub(super) fn page(page: &Page) -> String {
    line(&PageJson::from(page))
}

pub(super) fn details(details: &Details) -> String {
    line(&MessageJson::from(details))
}

pub(super) fn acted(id: &str, error: Option<&str>) -> String {
    line(&ActedJson { id, ok: error.is_none(), error })
}

pub(super) fn exported(id: &str, file: &Path, size: usize) -> String {
    line(&ExportedJson { id, ok: true, file: file.display().to_string(), size })
}

pub(super) fn all_failed(done: &AllFailed, ok: bool) -> String {
    let AllFailed { retried, in_doubt, without_content, refused } = *done;
    line(&AllFailedJson { ok, retried, in_doubt, without_content, refused })
}

pub(super) fn all_exported(done: &AllExported, directory: &Path, ok: bool) -> String {
    let AllExported { exported, without_content } = *done;
    let directory = directory.display().to_string();
    line(&AllExportedJson { ok, exported, without_content, directory })
}

#[expect(clippy::expect_used, reason = "structs of texts, numbers and times always serialise")]
pub(super) fn line(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string(value).expect("a plain struct");
    text.push('\n');
    text
}
