//! What every answer carries besides its own header fields.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::response::Response;

/// For pages: our own script, style, pictures, forms and frames, and nobody frames the page.
const OF_PAGES: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'";

/// For all else, which is no page: nothing, whatever a browser takes it for.
const OF_OTHERS: &str =
    "default-src 'none'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// Where a page leads to is told to nobody but us. Not even to us would be too little: by plain HTTP a browser names the
/// site of a form only in `Origin`, which is `null` under `no-referrer` (the fetch standard, "append a request Origin
/// header"), and such a form is refused.
const REFERRER_OF_PAGES: &str = "same-origin";

/// Nothing of a machine is needed here.
const PERMISSIONS: &str = "accelerometer=(), autoplay=(), browsing-topics=(), camera=(), \
     display-capture=(), encrypted-media=(), fullscreen=(), geolocation=(), gyroscope=(), hid=(), \
     identity-credentials-get=(), idle-detection=(), local-fonts=(), magnetometer=(), \
     microphone=(), midi=(), payment=(), picture-in-picture=(), publickey-credentials-get=(), \
     screen-wake-lock=(), serial=(), storage-access=(), usb=(), web-share=(), \
     xr-spatial-tracking=()";

/// Fields of every answer, also of errors. None of them takes the place of a field that a handler has set.
const COMMON: [(HeaderName, &str); 6] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), PERMISSIONS),
    // Nothing that shows mail is kept by a cache.
    (CACHE_CONTROL, "no-store"),
];

/// Adds them. There is no field that lets pages of other sites read anything (CORS).
pub(super) async fn protect(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let page = headers.get(CONTENT_TYPE).is_some_and(|of| of.as_bytes().starts_with(b"text/html"));
    let policy = if page { OF_PAGES } else { OF_OTHERS };
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(policy));
    if page {
        headers.entry(REFERRER_POLICY).or_insert(HeaderValue::from_static(REFERRER_OF_PAGES));
    }
    for (name, value) in COMMON {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
