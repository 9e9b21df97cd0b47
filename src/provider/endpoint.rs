//! Where an account is reached, and how every request to it begins.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Uri};

use super::Call;
use super::exchange::ClientError;
use crate::config::ProviderConfig;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A configured provider that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A setting is missing or unusable.
    #[error("providers.{provider}.{key} {problem}")]
    Setting { provider: String, key: &'static str, problem: String },
    /// The shared client cannot be made.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl BuildError {
    pub(super) fn setting(
        config: &ProviderConfig,
        key: &'static str,
        problem: impl Into<String>,
    ) -> Self {
        Self::Setting { provider: config.name.clone(), key, problem: problem.into() }
    }
}

/// The address of an API.
#[derive(Debug)]
pub(super) struct Endpoint {
    provider: String,
    /// Without a slash at the end.
    base: String,
    /// The service's own address, so that what the service publishes about itself holds.
    pub(super) is_default: bool,
}

impl Endpoint {
    /// The configured `base_url`, or the service's own.
    pub(super) fn of(
        config: &ProviderConfig,
        default: impl FnOnce() -> String,
    ) -> Result<Self, BuildError> {
        let provider = config.name.clone();
        let Some(url) = &config.base_url else {
            return Ok(Self { provider, base: default(), is_default: true });
        };
        let problem = if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            Some("must be an http or https URL")
        } else if !url.username().is_empty() || url.password().is_some() {
            Some("must not contain credentials")
        } else if url.query().is_some() || url.fragment().is_some() {
            Some("must end with the path")
        } else {
            None
        };
        if let Some(problem) = problem {
            return Err(BuildError::setting(config, "base_url", problem));
        }
        let base = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { provider, base, is_default: false })
    }

    /// The URI of a path of the API.
    pub(super) fn at(&self, path: &str) -> Result<Uri, BuildError> {
        format!("{}{path}", self.base).parse().map_err(|_| BuildError::Setting {
            provider: self.provider.clone(),
            key: "base_url",
            problem: "is not a usable URL".to_owned(),
        })
    }
}

/// The request that offers a call whose body is JSON, as are the answers.
pub(super) fn post(uri: &Uri, call: &Call) -> Request<Bytes> {
    let mut request = Request::new(call.body.clone());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.clone();
    // Ours, and made of letters that a field may have.
    let content_type = HeaderValue::from_str(&call.content_type)
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(ACCEPT, JSON);
    request
}

/// The request that asks something without a body.
pub(super) fn get(uri: &Uri) -> Request<Bytes> {
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = uri.clone();
    request.headers_mut().insert(ACCEPT, JSON);
    request
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ProviderKind;
    use crate::provider::samples::config;

    #[test]
    fn a_base_url_keeps_its_path() {
        let mut config = config(ProviderKind::Resend);
        config.base_url = Some("http://127.0.0.1:9/proxy/".parse().unwrap());
        let endpoint = Endpoint::of(&config, String::new).unwrap();
        assert_eq!(endpoint.at("/emails").unwrap(), "http://127.0.0.1:9/proxy/emails");
        assert!(!endpoint.is_default);
    }

    #[test]
    fn a_base_url_that_cannot_be_used_is_named() {
        let mut config = config(ProviderKind::Resend);
        for bad in ["ftp://x.org", "https://key:pw@x.org", "https://x.org/?a=b", "data:x"] {
            config.base_url = Some(bad.parse().unwrap());
            let error = Endpoint::of(&config, String::new).unwrap_err().to_string();
            assert!(error.starts_with("providers.resend.base_url must"), "{error}");
        }
    }
}
