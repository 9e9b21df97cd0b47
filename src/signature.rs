//! Signatures of what is posted to an address of the operator's, by which the receiver knows who sent it.
//!
//! After the Standard Webhooks specification, version 1.0.0, so that its libraries verify them:
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use std::fmt;
use std::ops::RangeInclusive;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::clock::Timestamp;
use crate::secret::Secret;

/// The header field that names what is posted. It stays the same when the post is repeated.
pub const ID: &str = "webhook-id";
/// The header field that says when it is posted, in seconds since 1970. A repeat has a time of its own.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The header field with the signature of both and of the body.
pub const SIGNATURE: &str = "webhook-signature";

/// How many octets the specification wants a key to have.
const KEY_OCTETS: RangeInclusive<usize> = 24..=64;

/// Stands before a secret that two sides share. It may be left out.
const SYMMETRIC: &str = "whsec_";

/// Signs with a secret that the receiver has as well.
pub struct Signer(hmac::Key);

/// A secret that no signer can be made of. It is not repeated here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// Not Base64.
    #[error("must be whsec_ and Base64, or Base64 alone, as `openssl rand -base64 32` makes it")]
    Form,
    /// A key of another scheme.
    #[error(
        "is a key of the asymmetric scheme; a shared secret is needed (`openssl rand -base64 32`)"
    )]
    Asymmetric,
    /// Too easily guessed, or longer than receivers take.
    #[error(
        "must have 24 to 64 octets after Base64, and has {0}; `openssl rand -base64 32` makes one"
    )]
    Length(usize),
}

impl Signer {
    /// Reads `whsec_` and Base64, or Base64 alone.
    pub fn new(secret: &Secret) -> Result<Self, InvalidSecret> {
        let text = secret.expose().trim();
        if text.starts_with("whsk_") || text.starts_with("whpk_") {
            return Err(InvalidSecret::Asymmetric);
        }
        let encoded = text.strip_prefix(SYMMETRIC).unwrap_or(text);
        let key = STANDARD.decode(encoded).map_err(|_| InvalidSecret::Form)?;
        if !KEY_OCTETS.contains(&key.len()) {
            return Err(InvalidSecret::Length(key.len()));
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    /// The value of [`SIGNATURE`] for a body that is posted under this id, at this time. The id must not contain a dot:
    /// it would be unclear where it ends.
    pub fn sign(&self, id: &str, at: Timestamp, body: &[u8]) -> String {
        let mut signing = hmac::Context::with_key(&self.0);
        signing.update(format!("{id}.{}.", at.as_second()).as_bytes());
        signing.update(body);
        format!("v1,{}", STANDARD.encode(signing.sign()))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(secret: &str) -> Result<Signer, InvalidSecret> {
        Signer::new(&Secret::new(secret))
    }

    /// The values are those that the specification's own libraries test with.
    #[test]
    fn the_known_example_has_the_known_signature() {
        let at = Timestamp::from_second(1_614_265_330).unwrap();
        for secret in
            ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"]
        {
            let signature = signer(secret).unwrap().sign(
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                at,
                b"{\"test\": 2432232314}",
            );
            assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        }
    }

    #[test]
    fn id_time_and_body_are_signed() {
        let signer = signer("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (one, two) = (Timestamp::from_second(1).unwrap(), Timestamp::from_second(2).unwrap());
        let first = signer.sign("a", one, b"x");
        assert_eq!(first, signer.sign("a", one, b"x"));
        for other in
            [signer.sign("b", one, b"x"), signer.sign("a", two, b"x"), signer.sign("a", one, b"y")]
        {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn a_secret_that_is_none_is_refused_without_being_shown() {
        let of = |octets: usize| format!("whsec_{}", STANDARD.encode(vec![7; octets]));
        assert!(signer(&of(24)).is_ok() && signer(&of(64)).is_ok());
        for (secret, fault) in [
            (of(23), InvalidSecret::Length(23)),
            (of(65), InvalidSecret::Length(65)),
            (String::new(), InvalidSecret::Length(0)),
            ("whsec_".to_owned(), InvalidSecret::Length(0)),
            ("correct horse battery staple".to_owned(), InvalidSecret::Form),
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa_w".to_owned(), InvalidSecret::Form),
            ("whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(), InvalidSecret::Asymmetric),
        ] {
            let error = signer(&secret).unwrap_err();
            assert_eq!(error, fault);
            let content = secret.trim_start_matches("whsec_");
            assert!(content.is_empty() || !error.to_string().contains(content), "{error}");
        }
        assert_eq!(format!("{:?}", signer(&of(32)).unwrap()), "Signer(***)");
    }
}
