//! What a server offers in its reply to EHLO.

use lettre::transport::smtp::authentication::Mechanism;
use lettre::transport::smtp::response::Response;

/// The extensions that matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Offer {
    /// STARTTLS (RFC 3207).
    pub(super) start_tls: bool,
    /// AUTH (RFC 4954), the mechanisms in capital letters.
    pub(super) auth: Vec<String>,
    /// PIPELINING (RFC 2920).
    pub(super) pipelining: bool,
    /// 8BITMIME (RFC 6152).
    pub(super) eight_bit: bool,
    /// SMTPUTF8 (RFC 6531).
    pub(super) utf8: bool,
    /// DSN (RFC 3461).
    pub(super) dsn: bool,
    /// SIZE (RFC 1870): the parameter is understood, and the largest message where there is a limit.
    pub(super) size: Option<Option<u64>>,
}

impl Offer {
    /// What a server of today offers.
    pub(super) fn everything() -> Self {
        Self {
            pipelining: true,
            eight_bit: true,
            utf8: true,
            dsn: true,
            size: Some(None),
            ..Self::default()
        }
    }

    /// The first line is the server's name.
    pub(super) fn of(reply: &Response) -> Self {
        let mut offer = Self::default();
        for line in reply.message().skip(1) {
            let line = line.trim().to_ascii_uppercase();
            let mut words = line.split([' ', '=', '\t']).filter(|word| !word.is_empty());
            match words.next() {
                Some("STARTTLS") => offer.start_tls = true,
                // Some servers repeat it as `AUTH=…` for programs of the nineties.
                Some("AUTH") => {
                    for word in words {
                        if !offer.auth.iter().any(|known| known == word) {
                            offer.auth.push(word.to_owned());
                        }
                    }
                }
                Some("PIPELINING") => offer.pipelining = true,
                Some("8BITMIME") => offer.eight_bit = true,
                Some("SMTPUTF8") => offer.utf8 = true,
                Some("DSN") => offer.dsn = true,
                Some("SIZE") => {
                    let max = words.next().and_then(|word| word.parse().ok());
                    offer.size = Some(max.filter(|max| *max > 0));
                }
                Some(_) | None => {}
            }
        }
        offer
    }

    /// The way to log in. Both show the password to the server, so they differ in nothing but age.
    pub(super) fn mechanism(&self) -> Option<Mechanism> {
        let has = |name: &str| self.auth.iter().any(|offered| offered == name);
        if has("PLAIN") {
            Some(Mechanism::Plain)
        } else if has("LOGIN") {
            Some(Mechanism::Login)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(text: &str) -> Offer {
        Offer::of(&text.parse().unwrap())
    }

    #[test]
    fn extensions_are_read_in_any_case_and_order() {
        let all = offer(
            "250-mx at your service\r\n250-size 35882577\r\n250-8BITMIME\r\n250-StartTLS\r\n\
             250-AUTH LOGIN PLAIN XOAUTH2\r\n250-AUTH=LOGIN\r\n250-PIPELINING\r\n250-DSN\r\n250 SMTPUTF8\r\n",
        );
        let auth = ["LOGIN", "PLAIN", "XOAUTH2"].map(str::to_owned).to_vec();
        let (yes, size) = (true, Some(Some(35_882_577)));
        let expected = Offer {
            start_tls: yes,
            auth,
            pipelining: yes,
            eight_bit: yes,
            utf8: yes,
            dsn: yes,
            size,
        };
        assert_eq!(all, expected);
        assert_eq!(all.mechanism(), Some(Mechanism::Plain));
    }

    #[test]
    fn what_is_not_offered_is_not_there() {
        assert_eq!(offer("250 STARTTLS\r\n"), Offer::default(), "the name of the server");
        assert_eq!(offer("250-mx\r\n250 SIZE\r\n").size, Some(None));
        assert_eq!(offer("250-mx\r\n250 SIZE 0\r\n").size, Some(None), "no limit is known");
        assert_eq!(offer("250-mx\r\n250 AUTH XOAUTH2\r\n").mechanism(), None);
        assert_eq!(offer("250-mx\r\n250 AUTH=LOGIN\r\n").mechanism(), Some(Mechanism::Login));
    }
}
