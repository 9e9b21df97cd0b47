//! Credentials that an app had for a provider's own SMTP server (SPEC 4.3).

use super::Credentials;
use crate::config::ProviderKind;
use crate::message::Account;

/// The longest key, octets. Those in use have 100 at most.
const KEY_MAX: usize = 512;

/// The account that these credentials belong to: `resend` with its API key, `apikey` with that of SendGrid, Postmark's server
/// token as both. `None` for any others.
pub(super) fn account(credentials: &Credentials) -> Option<Account> {
    let Credentials { username, password } = credentials;
    let named = |name: &str| username.eq_ignore_ascii_case(name);
    let kind = if named("resend") {
        ProviderKind::Resend
    } else if named("apikey") {
        ProviderKind::SendGrid
    } else if password.matches(username) {
        ProviderKind::Postmark
    } else {
        return None;
    };
    // It goes into a header field of HTTP.
    let key = password.expose();
    let fit = (1..=KEY_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    fit.then(|| Account { kind, key: password.clone() })
}

/// The user name, if it is one that says nothing but which provider is meant.
pub(super) fn name_of(username: &str) -> Option<&'static str> {
    ["resend", "apikey"].into_iter().find(|name| name.eq_ignore_ascii_case(username))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn kind(username: &str, password: &str) -> Option<ProviderKind> {
        let credentials =
            Credentials { username: username.to_owned(), password: Secret::new(password) };
        let account = account(&credentials)?;
        assert_eq!(account.key.expose(), password);
        Some(account.kind)
    }

    #[test]
    fn the_user_name_says_which_provider_is_meant() {
        assert_eq!(kind("resend", "re_1"), Some(ProviderKind::Resend));
        assert_eq!(kind("Resend", "re_1"), Some(ProviderKind::Resend));
        assert_eq!(kind("apikey", "SG.1"), Some(ProviderKind::SendGrid));
        assert_eq!(kind("API", "SG.1"), None);
    }

    #[test]
    fn the_same_token_twice_is_postmarks() {
        assert_eq!(kind("token-1", "token-1"), Some(ProviderKind::Postmark));
        assert_eq!(kind("token-1", "token-2"), None);
    }

    #[test]
    fn a_key_that_no_header_can_carry_is_none() {
        let long = "x".repeat(KEY_MAX + 1);
        assert_eq!(kind("", ""), None);
        for key in ["", "re 1", "re_1\r\nX: y", "re_é", &long] {
            assert_eq!(kind("resend", key), None, "{key:?}");
        }
    }

    #[test]
    fn a_token_is_no_name() {
        assert_eq!(name_of("RESEND"), Some("resend"));
        assert_eq!(name_of("token-1"), None);
    }
}
