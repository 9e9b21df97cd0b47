//! What is said about AUTH, and about mail that needs it.

use crate::smtp::reply::one_line;
use crate::smtp::{Enhanced, Reply};

/// The challenges of RFC 4954 §4: base64, no enhanced code.
impl Reply {
    /// Of PLAIN, which needs none. Clients wait for the blank behind the code.
    pub(in crate::smtp) const ASK_CREDENTIALS: Self = Self::challenge("");
    /// `Username:`; some clients compare it.
    pub(in crate::smtp) const ASK_USERNAME: Self = Self::challenge("VXNlcm5hbWU6");
    /// `Password:`
    pub(in crate::smtp) const ASK_PASSWORD: Self = Self::challenge("UGFzc3dvcmQ6");
}

/// Why an exchange has ended without credentials. The codes are those of RFC 4954 §4 and §6.
impl Reply {
    pub(in crate::smtp) const AUTH_CANCELLED: Self =
        Self::fixed(501, 7, 0, "Authentication cancelled");
    pub(in crate::smtp) const BAD_BASE64: Self =
        Self::fixed(501, 5, 2, "The answer is not base64; authentication has ended");
    pub(in crate::smtp) const BAD_PLAIN_FORM: Self = Self::fixed(
        501,
        5,
        2,
        "PLAIN takes NUL, user name, NUL, password, in base64; neither may contain a NUL",
    );
    pub(in crate::smtp) const BAD_CREDENTIALS: Self =
        Self::fixed(501, 5, 2, "A user name or password must not contain control characters");
    pub(in crate::smtp) const CREDENTIALS_NOT_UTF8: Self = Self::fixed(
        501,
        5,
        2,
        "User name and password must be UTF-8: use ASCII characters if the app cannot do that",
    );
    pub(in crate::smtp) const CREDENTIALS_TOO_LONG: Self =
        Self::fixed(500, 5, 6, "A user name or password has at most 1024 octets");
    pub(in crate::smtp) const AUTH_LINE_TOO_LONG: Self =
        Self::fixed(500, 5, 6, "A line of AUTH has at most 12288 octets; authentication has ended");
    pub(in crate::smtp) const AUTH_BARE_LINE_FEED: Self =
        Self::fixed(500, 5, 2, "Lines end with CR LF; authentication has ended");
    pub(in crate::smtp) const ANOTHER_IDENTITY: Self = Self::fixed(
        535,
        7,
        8,
        "Nobody may act for another user: leave the authorization identity empty",
    );
}

/// Why AUTH is not begun.
impl Reply {
    pub(in crate::smtp) const AUTH_TWICE: Self =
        Self::fixed(503, 5, 1, "You have authenticated already; once is enough for a connection");
    pub(in crate::smtp) const AUTH_IN_TRANSACTION: Self =
        Self::fixed(503, 5, 1, "AUTH comes before MAIL: finish the transaction or drop it by RSET");
    pub(in crate::smtp) const UNKNOWN_MECHANISM: Self =
        Self::fixed(504, 5, 4, "This mechanism is not offered: choose PLAIN or LOGIN");
    pub(in crate::smtp) const ENCRYPTION_NEEDED: Self = Self::fixed(
        538,
        7,
        11,
        "AUTH from your address needs encryption: switch STARTTLS on in the app's SMTP settings",
    );
    pub(in crate::smtp) const AUTH_WITHOUT_USERS: Self = Self::fixed(
        502,
        5,
        1,
        "AUTH is not offered to your address: no users are set up (smtp.users), \
         and it is not in smtp.trusted_networks",
    );
    pub(in crate::smtp) const AUTH_WITHOUT_TLS: Self = Self::fixed(
        502,
        5,
        1,
        "AUTH is offered to your address over TLS only, and there is no certificate: \
         set smtp.tls, or add your network to smtp.trusted_networks",
    );
}

/// What came of it.
impl Reply {
    pub(in crate::smtp) const WRONG_ACCOUNT: Self = Self::fixed(
        535,
        7,
        8,
        "No provider takes these credentials: the user is resend (password: its API key), \
         apikey (SendGrid's API key), or Postmark's server token, which is the password as well",
    );
    pub(in crate::smtp) const TOO_MANY_LOGINS: Self =
        Self::fixed(421, 7, 0, "Too many failed logins on this connection; closing it");

    /// The credentials cannot be checked now. `reason` is for the client.
    pub(in crate::smtp) fn cannot_authenticate(reason: &str) -> Self {
        Self::new(454, Enhanced(7, 0), one_line(reason))
    }
}

/// Why one may not send.
impl Reply {
    pub(in crate::smtp) const AUTHENTICATE_FIRST: Self = Self::fixed(
        530,
        7,
        0,
        "Authenticate first: set user and password in the app's SMTP settings",
    );
    pub(in crate::smtp) const ENCRYPT_AND_AUTHENTICATE_FIRST: Self = Self::fixed(
        530,
        7,
        0,
        "Authenticate first: set STARTTLS, user and password in the app's SMTP settings",
    );
    pub(in crate::smtp) const CERTIFICATE_AND_AUTHENTICATE_FIRST: Self = Self::fixed(
        530,
        7,
        0,
        "Authentication is needed, and offered to your address over TLS only: set smtp.tls, \
         or add your network to smtp.trusted_networks",
    );
    pub(in crate::smtp) const NOT_YOUR_SENDER: Self =
        Self::fixed(550, 7, 1, "This user may not send with this sender address: see smtp.users");
    pub(in crate::smtp) const NOT_YOUR_FROM: Self = Self::fixed(
        550,
        7,
        1,
        "This user may not send with this address in From or Sender: see smtp.users",
    );
    pub(in crate::smtp) const UNREADABLE_FROM: Self = Self::fixed(
        550,
        7,
        1,
        "From or Sender is not of the form Name <local@domain>, so it cannot be told \
         whether this user may send it: see smtp.users",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(reply: &Reply) -> String {
        let mut out = Vec::new();
        reply.encode(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn they_fit_the_reply_line() {
        for reply in [
            Reply::BAD_PLAIN_FORM,
            Reply::CREDENTIALS_NOT_UTF8,
            Reply::AUTH_WITHOUT_USERS,
            Reply::AUTH_WITHOUT_TLS,
            Reply::WRONG_ACCOUNT,
            Reply::CERTIFICATE_AND_AUTHENTICATE_FIRST,
            Reply::UNREADABLE_FROM,
        ] {
            let text = encoded(&reply);
            assert!(text.len() <= 512 && text.is_ascii() && text.lines().count() == 1, "{text}");
        }
    }

    #[test]
    fn a_detail_of_two_digits_is_written_in_full() {
        assert!(encoded(&Reply::ENCRYPTION_NEEDED).starts_with("538 5.7.11 AUTH from"));
    }

    #[test]
    fn a_reason_cannot_make_lines_of_its_own() {
        let reply = Reply::cannot_authenticate("down\r\n235 2.7.0 ok");
        assert_eq!(encoded(&reply), "454 4.7.0 down 235 2.7.0 ok\r\n");
    }
}
