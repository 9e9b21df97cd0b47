//! AWS Signature Version 4 with fixed keys.

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request};
use reqsign_aws_v4::{Credential, RequestSigner};
use reqsign_core::{Context, SignRequest};

use crate::config::ProviderConfig;
use crate::provider::endpoint::BuildError;
use crate::provider::{SendError, Verdict};
use crate::secret::Secret;

/// Signs requests to one region.
///
/// The time of the signature is the machine's, read by the signing library; the service refuses one that is off by more
/// than five minutes.
#[derive(Debug)]
pub(super) struct Signer {
    signer: RequestSigner,
    access_key_id: String,
    secret_access_key: Secret,
    session_token: Secret,
}

impl Signer {
    pub(super) fn new(config: &ProviderConfig, region: &str) -> Result<Self, BuildError> {
        let access_key_id = config.access_key_id.as_deref().map(str::trim).unwrap_or_default();
        if access_key_id.is_empty() {
            return Err(BuildError::setting(config, "access_key_id", "is not set"));
        }
        if config.secret_access_key.expose().trim().is_empty() {
            return Err(BuildError::setting(config, "secret_access_key", "is not set"));
        }
        for (key, value) in [
            ("access_key_id", access_key_id),
            ("session_token", config.session_token.expose().trim()),
        ] {
            if HeaderValue::from_str(value).is_err() {
                return Err(BuildError::setting(config, key, "has characters that no key has"));
            }
        }
        Ok(Self {
            signer: RequestSigner::new("ses", region),
            access_key_id: access_key_id.to_owned(),
            secret_access_key: Secret::new(config.secret_access_key.expose().trim()),
            session_token: Secret::new(config.session_token.expose().trim()),
        })
    }

    /// Adds the date, the hash of the body, the session token and the signature.
    pub(super) async fn sign(&self, request: &mut Request<Bytes>) -> Result<(), SendError> {
        let (mut parts, body) = std::mem::take(request).into_parts();
        // Without it the library leaves the body out of the signature.
        let hash = HeaderValue::from_str(&hex_sha256(&body)).map_err(|_| unsigned())?;
        parts.headers.insert("x-amz-content-sha256", hash);
        let credential = Credential {
            access_key_id: self.access_key_id.clone(),
            secret_access_key: self.secret_access_key.expose().to_owned(),
            session_token: (!self.session_token.is_empty())
                .then(|| self.session_token.expose().to_owned()),
            expires_in: None,
        };
        self.signer
            .sign_request(&Context::new(), &mut parts, Some(&credential), None)
            .await
            .map_err(|_| unsigned())?;
        // The client writes the same one itself, in the form that the HTTP version has for it.
        parts.headers.remove(HOST);
        *request = Request::from_parts(parts, body);
        Ok(())
    }

    pub(super) fn secrets(&self) -> Vec<&str> {
        vec![self.secret_access_key.expose(), self.session_token.expose()]
    }
}

fn hex_sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a String does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The library's words could contain what was to be signed with.
fn unsigned() -> SendError {
    SendError {
        verdict: Verdict::Misconfigured,
        status: None,
        reason: "the request cannot be signed with these credentials".to_owned(),
        unclear: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ProviderKind;
    use crate::provider::samples::config;

    async fn signed(config: &ProviderConfig) -> Request<Bytes> {
        let mut request = Request::new(Bytes::from_static(b"{}"));
        *request.uri_mut() =
            "https://email.eu-west-1.amazonaws.com/v2/email/account".parse().unwrap();
        Signer::new(config, "eu-west-1").unwrap().sign(&mut request).await.unwrap();
        request
    }

    #[tokio::test]
    async fn the_body_and_the_session_are_part_of_the_signature() {
        let mut config = config(ProviderKind::Ses);
        config.session_token = Secret::new("session");
        let request = signed(&config).await;
        assert_eq!(
            request.headers()["x-amz-content-sha256"],
            "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
        assert_eq!(request.headers()["x-amz-security-token"], "session");
        let authorization = request.headers()["authorization"].to_str().unwrap();
        assert!(
            authorization.contains("/eu-west-1/ses/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,"),
            "{authorization}"
        );
        assert!(request.headers().get(HOST).is_none());
    }

    #[tokio::test]
    async fn no_key_is_visible_in_debug_output() {
        let config = config(ProviderKind::Ses);
        let signer = Signer::new(&config, "eu-west-1").unwrap();
        let shown = format!("{signer:?} {:?}", signed(&config).await);
        assert!(!shown.contains(config.secret_access_key.expose()), "{shown}");
        assert!(!shown.contains("Signature="), "{shown}");
    }
}
