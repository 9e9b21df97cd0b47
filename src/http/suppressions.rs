//! `/api/v1/suppressions`: the list of addresses that get no mail.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, Request, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{ErrorJson, Problem};
use super::fields;
use super::json::Time;
use super::query::{Query, invalid};
use super::side::Context;
use super::{body, filter};
use crate::clock::Timestamp;
use crate::message::Address;
use crate::queue::{
    Suppression, SuppressionCursor, SuppressionFilter, SuppressionPage, SuppressionReason,
};

/// The largest body.
pub(super) const BODY_MAX: usize = 16 * 1024;

/// The longest note, characters.
const NOTE_MAX: usize = 1_000;

/// One page of the list, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SuppressionsJson {
    suppressions: Vec<SuppressionJson>,
    /// `before` of the next page, when there is one.
    next: Option<String>,
}

/// An address that gets no mail.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SuppressionJson {
    /// As it was given.
    address: String,
    #[schema(value_type = ReasonJson)]
    reason: SuppressionReason,
    /// The provider's words, or the operator's.
    note: Option<String>,
    since: Time,
}

/// Why an address gets no mail: an operator says so, its mailbox does not exist, its owner has complained.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only the document is made from it")]
enum ReasonJson {
    Manual,
    Bounced,
    Complained,
}

/// An address to be put on the list.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the document is made from it; the body is read field by field")]
pub(super) struct SuppressionInput {
    #[schema(format = "email", example = "ada@example.org")]
    address: String,
    /// `manual` unless it is said.
    reason: Option<ReasonJson>,
    #[schema(max_length = 1_000, pattern = r"^[^\u0000]*$")]
    note: Option<String>,
}

impl From<Suppression> for SuppressionJson {
    fn from(entry: Suppression) -> Self {
        let Suppression { address, reason, note, since } = entry;
        Self { address: address.into(), reason, note, since: Time(since) }
    }
}

/// Addresses that get no mail, the newest first.
#[utoipa::path(
    get, path = "/api/v1/suppressions", operation_id = "listSuppressions", tag = "suppressions",
    params(
        ("q" = Option<String>, Query, description = "A part of the address, whatever the case of ASCII letters", max_length = 200),
        ("reason" = Option<ReasonJson>, Query),
        ("before" = Option<String>, Query, description = "`next` of the page before"),
        ("limit" = Option<u16>, Query, description = "How many at the most; 50 unless it is said", minimum = 1, maximum = 500),
    ),
    responses(
        (status = 200, body = SuppressionsJson),
        (status = 400, body = ErrorJson, description = "`invalid_query`"),
    ),
)]
pub(super) async fn list(
    Shared(context): Shared<Arc<Context>>,
    RawQuery(query): RawQuery,
) -> Result<Json<SuppressionsJson>, Problem> {
    let filter = read_filter(query.as_deref())?;
    let SuppressionPage { entries, next } =
        context.ask(context.side.store.suppressions().list(filter)).await?;
    Ok(Json(SuppressionsJson {
        suppressions: entries.into_iter().map(SuppressionJson::from).collect(),
        next: next.as_ref().map(write_cursor),
    }))
}

/// Reads `q`, `reason`, `before` and `limit`.
pub(super) fn read_filter(query: Option<&str>) -> Result<SuppressionFilter, Problem> {
    let query = Query::read(query, &["q", "reason", "before", "limit"])?;
    let reason = query.get("reason").map(str::parse).transpose();
    let before = query.get("before").map(|text| {
        let message = "before: not a cursor; take the \"next\" of an earlier answer";
        read_cursor(text).ok_or_else(|| invalid(message))
    });
    Ok(SuppressionFilter {
        text: query.short("q")?.map(str::to_owned),
        reason: reason.map_err(|error: String| invalid(format!("reason: {error}")))?,
        before: before.transpose()?,
        limit: query.limit("limit", filter::LIMIT_DEFAULT, filter::LIMIT_MAX)?,
    })
}

/// A cursor as a text that is safe in an address: the time in nanoseconds, and the mailbox.
pub(super) fn write_cursor(cursor: &SuppressionCursor) -> String {
    let nanoseconds = cursor.since.as_nanosecond();
    URL_SAFE_NO_PAD.encode(format!("{nanoseconds} {}", cursor.key))
}

fn read_cursor(text: &str) -> Option<SuppressionCursor> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let (nanoseconds, key) = text.split_once(' ')?;
    let since = Timestamp::from_nanosecond(nanoseconds.parse().ok()?).ok()?;
    Some(SuppressionCursor { since, key: key.to_owned() })
}

/// Puts an address on the list, or changes what is said of it there.
#[utoipa::path(
    post, path = "/api/v1/suppressions", operation_id = "addSuppression", tag = "suppressions",
    request_body = SuppressionInput,
    responses(
        (status = 200, body = SuppressionJson, description = "It was on the list; reason, note and time are now these"),
        (status = 201, body = SuppressionJson, description = "It is on the list now"),
        (status = 400, body = ErrorJson, description = "`malformed_json`, `unknown_field`, `invalid_field`"),
        (status = 413, body = ErrorJson, description = "`payload_too_large`"),
        (status = 415, body = ErrorJson, description = "`unsupported_media_type`"),
    ),
)]
pub(super) async fn add(
    Shared(context): Shared<Arc<Context>>,
    request: Request,
) -> Result<Response, Problem> {
    body::must_be_json(request.headers())?;
    let body = body::read(request, BODY_MAX).await?;
    let entry = read_entry(&body, context.now())?;
    let is_new = put(&context, entry.clone()).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(SuppressionJson::from(entry))).into_response())
}

const FIELDS: [&str; 3] = ["address", "reason", "note"];

/// Reads an entry that an operator gives.
pub(super) fn read_entry(body: &[u8], now: Timestamp) -> Result<Suppression, Problem> {
    let fields = fields::read(body, &FIELDS, 2 * FIELDS.len())?;
    let address = fields::text(&fields, "address")?
        .ok_or_else(|| fields::invalid("\"address\" is missing"))?;
    let address = read_address(address).map_err(fields::invalid)?;
    let reason = fields::text(&fields, "reason")?.map(str::parse).transpose();
    let reason = reason.map_err(|error: String| fields::invalid(format!("\"reason\": {error}")))?;
    let note = fields::text(&fields, "note")?.map(str::trim).filter(|note| !note.is_empty());
    if note.is_some_and(|note| note.chars().count() > NOTE_MAX || note.contains('\0')) {
        let message = format!("\"note\" is longer than {NOTE_MAX} characters, or has a NUL");
        return Err(fields::invalid(message));
    }
    Ok(Suppression {
        address,
        reason: reason.unwrap_or(SuppressionReason::Manual),
        note: note.map(str::to_owned),
        since: now,
    })
}

fn read_address(text: &str) -> Result<Address, String> {
    let shown: String = text.chars().take(fields::LINE_MAX).collect();
    shown.trim().parse().map_err(|error| format!("\"address\": {error}"))
}

/// Puts an entry on the list. True when it was not there before.
pub(super) async fn put(context: &Context, entry: Suppression) -> Result<bool, Problem> {
    let (address, reason) = (entry.address.clone(), entry.reason);
    let is_new = context.ask(context.side.store.suppressions().add(entry)).await?;
    tracing::info!(to = %address, %reason, "an operator has put an address on the suppression list");
    if !context.side.delivery.has_queue() {
        tracing::warn!(
            to = %address,
            "in direct mode the suppression list is only in memory: a restart of mailferry forgets this address"
        );
    }
    Ok(is_new)
}

/// Takes an address off the list. False when it was not there.
pub(super) async fn take_off(context: &Context, address: &Address) -> Result<bool, Problem> {
    let was_there = context.ask(context.side.store.suppressions().remove(address)).await?;
    if was_there {
        tracing::info!(to = %address, "an operator has taken an address off the suppression list");
    }
    Ok(was_there)
}

/// Takes an address off the list.
#[utoipa::path(
    delete, path = "/api/v1/suppressions/{address}", operation_id = "removeSuppression", tag = "suppressions",
    params(("address" = String, Path, description = "In any spelling of the same mailbox")),
    responses(
        (status = 204, description = "It gets mail again"),
        (status = 404, body = ErrorJson, description = "`not_found`: it is not on the list"),
    ),
)]
pub(super) async fn remove(
    Shared(context): Shared<Arc<Context>>,
    address: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let address = address.map(|Path(address)| address).unwrap_or_default();
    let Ok(address) = read_address(&address) else { return Err(not_listed(&address)) };
    remove_one(&context, &address).await
}

/// Takes an address off the list; for addresses that a path cannot hold, such as those with a slash.
#[utoipa::path(
    delete, path = "/api/v1/suppressions", operation_id = "removeSuppressionByQuery", tag = "suppressions",
    params(("address" = String, Query, format = "email", description = "In any spelling of the same mailbox")),
    responses(
        (status = 204, description = "It gets mail again"),
        (status = 400, body = ErrorJson, description = "`invalid_query`"),
        (status = 404, body = ErrorJson, description = "`not_found`: it is not on the list"),
    ),
)]
pub(super) async fn remove_by_query(
    Shared(context): Shared<Arc<Context>>,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, Problem> {
    let query = Query::read(query.as_deref(), &["address"])?;
    let address = query.get("address").ok_or_else(|| invalid("address is missing"))?;
    let address = read_address(address).map_err(invalid)?;
    remove_one(&context, &address).await
}

async fn remove_one(context: &Context, address: &Address) -> Result<StatusCode, Problem> {
    if take_off(context, address).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(not_listed(address.as_str()))
    }
}

fn not_listed(address: &str) -> Problem {
    let shown: String = address.chars().take(fields::LINE_MAX).collect();
    let message = format!("{shown:?} is not on the suppression list");
    Problem::new(StatusCode::NOT_FOUND, "not_found", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::sample;

    #[test]
    fn a_cursor_survives_its_way() {
        let cursor = SuppressionCursor {
            since: "2026-11-21T10:00:00.123456789Z".parse().unwrap(),
            key: "\"a b\"@example.org".to_owned(),
        };
        let text = write_cursor(&cursor);
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        assert_eq!(read_cursor(&text), Some(cursor));
        for wrong in ["", "x", "AAAA", "!!"] {
            assert_eq!(read_cursor(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_entry_is_read_strictly() {
        let read = |body: &str| read_entry(body.as_bytes(), sample::now());
        let entry = read(r#"{"address": " ada@example.org ", "note": " asked us "}"#).unwrap();
        assert_eq!(entry.address.as_str(), "ada@example.org");
        assert_eq!(
            (entry.reason, entry.note.as_deref()),
            (SuppressionReason::Manual, Some("asked us"))
        );
        let long = format!(r#"{{"address": "a@b.org", "note": "{}"}}"#, "x".repeat(1_001));
        for (body, code, words) in [
            ("", "malformed_json", "JSON"),
            ("[]", "invalid_field", "object"),
            ("{}", "invalid_field", "\"address\" is missing"),
            (r#"{"address": 7}"#, "invalid_field", "must be a text"),
            (r#"{"address": "ada"}"#, "invalid_field", "\"ada\" is not an address"),
            (r#"{"address": "a@b.org", "reason": "x"}"#, "invalid_field", "manual, bounced"),
            (r#"{"address": "a@b.org", "why": "x"}"#, "unknown_field", "\"why\""),
            (&long, "invalid_field", "1000 characters"),
        ] {
            let problem = read(body).unwrap_err();
            assert_eq!(problem.code, code, "{body}");
            assert!(problem.message.contains(words), "{body}: {}", problem.message);
        }
    }
}
