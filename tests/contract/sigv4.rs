//! The signature is the one that botocore makes for the same request, time and key.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mailferry::config::ProviderKind;
use mailferry::secret::Secret;
use serde_json::json;

use crate::letters::faithful;
use crate::recorder::{Recorded, Recorder};
use crate::support::{REGION, ask, config, key, provider, python};

/// The header fields that the request says it has signed. Botocore takes the host from the URL.
fn signed_headers(request: &Recorded) -> BTreeMap<&str, &str> {
    let (_, rest) = request.header("authorization").split_once("SignedHeaders=").unwrap();
    let (names, _) = rest.split_once(',').unwrap();
    names
        .split(';')
        .filter(|name| *name != "host")
        .map(|name| (name, request.header(name)))
        .collect()
}

#[tokio::test]
async fn signatures_agree_with_botocore() {
    let Some(python) = python() else { return };
    let recorder = Recorder::start().await;
    for (path, token) in [("", ""), ("", "FwoGZXIvYXdzEXAMPLE//token=="), ("/a-proxy/x", "")] {
        let base_url = format!("{}{path}", recorder.url);
        let mut config = config(ProviderKind::Ses, &base_url);
        config.session_token = Secret::new(token);
        let provider = provider(&config);
        let sample = &faithful()[1];
        let call = sample.call(&*provider);
        provider.send(&call, &key(sample, &call)).await.unwrap();
        provider.probe().await.unwrap();

        let requests = recorder.take();
        assert_eq!(requests.len(), 2);
        for request in &requests {
            let headers = signed_headers(request);
            assert!(headers.contains_key("x-amz-content-sha256"), "{headers:?}");
            assert_eq!(headers.contains_key("x-amz-security-token"), !token.is_empty());
            let input = json!({
                "method": request.method.as_str(),
                "url": format!("{}{}", recorder.url, request.path),
                "headers": headers,
                "body": STANDARD.encode(&request.body),
                "region": REGION,
                "access_key_id": config.access_key_id,
                "secret_access_key": config.secret_access_key.expose(),
                "session_token": (!token.is_empty()).then_some(token),
            });
            let expected = ask(&python, "sigv4.py", "", &input).await;
            assert_eq!(request.header("authorization"), expected.trim());
        }
    }
}
