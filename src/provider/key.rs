//! The key of an account, which goes into the header of every request.

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Request};

use super::endpoint::BuildError;
use crate::config::ProviderConfig;
use crate::secret::Secret;

/// A key and the header field that carries it; neither shows in debug output.
#[derive(Debug)]
pub(super) struct ApiKey {
    field: HeaderName,
    value: HeaderValue,
    key: Secret,
}

impl ApiKey {
    /// `Authorization: Bearer KEY`.
    pub(super) fn bearer(config: &ProviderConfig) -> Result<Self, BuildError> {
        Self::new(config, AUTHORIZATION, "Bearer ")
    }

    /// The key alone, in a field that the service has for it.
    pub(super) fn in_field(
        config: &ProviderConfig,
        field: &'static str,
    ) -> Result<Self, BuildError> {
        Self::new(config, HeaderName::from_static(field), "")
    }

    fn new(config: &ProviderConfig, field: HeaderName, scheme: &str) -> Result<Self, BuildError> {
        let key = config.api_key.expose().trim();
        if key.is_empty() {
            return Err(BuildError::setting(config, "api_key", "is not set"));
        }
        let mut value = HeaderValue::from_str(&format!("{scheme}{key}")).map_err(|_| {
            BuildError::setting(config, "api_key", "has characters that no key has")
        })?;
        value.set_sensitive(true);
        Ok(Self { field, value, key: Secret::new(key) })
    }

    /// Puts the key into a request.
    pub(super) fn put(&self, request: &mut Request<Bytes>) {
        request.headers_mut().insert(self.field.clone(), self.value.clone());
    }

    /// The key itself, to be struck out of what a provider repeats.
    pub(super) fn text(&self) -> &str {
        self.key.expose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ProviderKind;
    use crate::provider::samples::config;

    #[test]
    fn a_key_that_cannot_be_sent_is_named_but_not_shown() {
        let mut config = config(ProviderKind::Resend);
        for (key, problem) in [(" ", "is not set"), ("re_\u{1}secret", "has characters")] {
            config.api_key = Secret::new(key);
            let error = ApiKey::bearer(&config).unwrap_err().to_string();
            assert!(error.contains(problem) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_key_stands_in_its_field_without_the_blanks_around_it() {
        let mut config = config(ProviderKind::Resend);
        config.api_key = Secret::new(" abc\n");
        let mut request = Request::new(Bytes::new());
        ApiKey::bearer(&config).unwrap().put(&mut request);
        ApiKey::in_field(&config, "x-own-token").unwrap().put(&mut request);
        assert_eq!(request.headers()[AUTHORIZATION], "Bearer abc");
        assert_eq!(request.headers()["x-own-token"], "abc");
        assert!(!format!("{request:?}").contains("abc"));
    }
}
