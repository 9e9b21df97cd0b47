//! What pages bring along: style, script, icon.

use std::sync::LazyLock;

use aws_lc_rs::digest;
use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;

pub(super) const STYLE: &str = include_str!("style.css");
pub(super) const SCRIPT: &str = include_str!("page.js");
pub(super) const ICON: &str = include_str!("icon.svg");

/// Name the contents, so that they may be kept and are still never out of date.
pub(super) static STYLE_VERSION: LazyLock<String> = LazyLock::new(|| version(STYLE));
pub(super) static SCRIPT_VERSION: LazyLock<String> = LazyLock::new(|| version(SCRIPT));

fn version(content: &str) -> String {
    let hash = digest::digest(&digest::SHA256, content.as_bytes());
    hash.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// `GET /style.css`
pub(in crate::http) async fn style() -> impl IntoResponse {
    asset("text/css; charset=utf-8", STYLE)
}

/// `GET /page.js`
pub(in crate::http) async fn script() -> impl IntoResponse {
    asset("text/javascript; charset=utf-8", SCRIPT)
}

/// `GET /icon.svg`
pub(in crate::http) async fn icon() -> impl IntoResponse {
    asset("image/svg+xml", ICON)
}

fn asset(
    media_type: &'static str,
    content: &'static str,
) -> ([(HeaderName, &'static str); 2], &'static str) {
    ([(CONTENT_TYPE, media_type), (CACHE_CONTROL, "public, max-age=86400")], content)
}
