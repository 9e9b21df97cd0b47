//! The key of an account, which goes into the header of every request.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
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
    /// The form in which it is sent, where that is another.
    encoded: Secret,
}

impl ApiKey {
    /// `Authorization: Bearer KEY`.
    pub(super) fn bearer(config: &ProviderConfig) -> Result<Self, BuildError> {
        Self::new(config, AUTHORIZATION, |key| format!("Bearer {key}"))
    }

    /// `Authorization: Basic` with the key as the password of `user` (RFC 7617).
    pub(super) fn basic(config: &ProviderConfig, user: &str) -> Result<Self, BuildError> {
        let encoded = |key: &str| STANDARD.encode(format!("{user}:{key}"));
        let made = Self::new(config, AUTHORIZATION, |key| format!("Basic {}", encoded(key)))?;
        Ok(Self { encoded: Secret::new(encoded(made.key.expose())), ..made })
    }

    /// The key alone, in a field that the service has for it.
    pub(super) fn in_field(
        config: &ProviderConfig,
        field: &'static str,
    ) -> Result<Self, BuildError> {
        Self::new(config, HeaderName::from_static(field), str::to_owned)
    }

    fn new(
        config: &ProviderConfig,
        field: HeaderName,
        text: impl Fn(&str) -> String,
    ) -> Result<Self, BuildError> {
        let key = config.api_key.expose().trim();
        if key.is_empty() {
            return Err(BuildError::setting(config, "api_key", "is not set"));
        }
        let unfit = || BuildError::setting(config, "api_key", "has characters that no key has");
        if key.chars().any(char::is_control) {
            return Err(unfit());
        }
        let mut value = HeaderValue::from_str(&text(key)).map_err(|_| unfit())?;
        value.set_sensitive(true);
        Ok(Self { field, value, key: Secret::new(key), encoded: Secret::default() })
    }

    /// Puts the key into a request.
    pub(super) fn put(&self, request: &mut Request<Bytes>) {
        request.headers_mut().insert(self.field.clone(), self.value.clone());
    }

    /// The key itself, to be struck out of what a provider repeats.
    pub(super) fn text(&self) -> &str {
        self.key.expose()
    }

    /// The form in which it is sent, where that is another, to be struck out likewise; else empty.
    pub(super) fn encoded(&self) -> &str {
        self.encoded.expose()
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

    #[test]
    fn a_key_can_be_the_password_of_a_user() {
        let mut config = config(ProviderKind::Mailgun);
        config.api_key = Secret::new("abc");
        let mut request = Request::new(Bytes::new());
        let key = ApiKey::basic(&config, "api").unwrap();
        key.put(&mut request);
        assert_eq!(request.headers()[AUTHORIZATION], "Basic YXBpOmFiYw==");
        assert_eq!((key.text(), key.encoded()), ("abc", "YXBpOmFiYw=="));
    }
}
