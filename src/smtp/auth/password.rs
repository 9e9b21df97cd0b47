//! A user's password as the configuration has it: the text itself, or a hash that says of which kind it is.

use std::fmt;

use argon2::Argon2;
use argon2::password_hash::PasswordVerifier as _;
use argon2::password_hash::phc::PasswordHash;

use crate::config::{PasswordFault, PasswordForm};
use crate::secret::Secret;

/// A password to compare with.
pub enum Password {
    Plain(Secret),
    /// A PHC string.
    Argon2(Box<PasswordHash>),
    Bcrypt(Secret),
}

/// Its kind, and nothing of it.
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain(***)",
            Self::Argon2(_) => "Argon2(***)",
            Self::Bcrypt(_) => "Bcrypt(***)",
        })
    }
}

impl Password {
    /// What stands in the configuration. Loading it has judged it already; a text that only begins like a hash is never
    /// taken for the password itself.
    pub fn read(configured: &Secret) -> Result<Self, PasswordFault> {
        Ok(match PasswordForm::of(configured)? {
            PasswordForm::Plain => Self::Plain(configured.clone()),
            PasswordForm::Argon2(hash) => Self::Argon2(hash),
            PasswordForm::Bcrypt => Self::Bcrypt(configured.clone()),
        })
    }

    /// True when comparing takes so long that it must not happen on an async thread.
    pub fn is_hash(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Argon2(_) | Self::Bcrypt(_) => true,
        }
    }

    /// Compares in time that depends on lengths and the kind of hash only. An empty password is never right.
    ///
    /// bcrypt looks at the first 72 octets, whoever made the hash; a NUL, where some implementations end, cannot come
    /// in here (see `exchange`).
    pub fn matches(&self, presented: &Secret) -> bool {
        if presented.is_empty() {
            return false;
        }
        match self {
            Self::Plain(own) => own.matches(presented.expose()),
            Self::Argon2(hash) => {
                // Kind, version and costs are those of the hash.
                Argon2::default().verify_password(presented.expose().as_bytes(), &**hash).is_ok()
            }
            Self::Bcrypt(hash) => {
                bcrypt::verify(presented.expose(), hash.expose()).unwrap_or(false)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hashes of `correct horse`, made by PHP and by libxcrypt, cheap ones.
    const HASHES: [&str; 5] = [
        "$argon2id$v=19$m=64,t=1,p=1$c3kwY0guQ3pjUERPSmNyNw$OcITezy4+ow5zks5yFxZeIt4XsMmnXcCuZNwHmOWQ3I",
        "$argon2i$v=19$m=64,t=2,p=2$LzhwNS51WUEyS0pGRkIwQQ$ZU+lsYjLvxqz9UVLOt1j12AT8sJ8yelr8UyzYqfDy9E",
        "$2y$04$RXdSi6t6rMkNpsZ4CH5REugt9e8XHoYDqX4HHnROLKLaIWtJm.H26",
        "$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
        "$2a$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
    ];

    fn read(text: &str) -> Result<Password, PasswordFault> {
        Password::read(&Secret::new(text))
    }

    fn matches(own: &str, presented: &str) -> bool {
        read(own).unwrap().matches(&Secret::new(presented))
    }

    #[test]
    fn a_hash_of_each_kind_takes_its_password_only() {
        for hash in HASHES {
            assert!(read(hash).unwrap().is_hash(), "{hash}");
            assert!(matches(hash, "correct horse"), "{hash}");
            assert!(!matches(hash, "correct hors"), "{hash}");
            assert!(!matches(hash, hash), "the hash is not the password: {hash}");
            assert!(!matches(hash, ""), "{hash}");
        }
    }

    #[test]
    fn a_plain_password_is_compared_octet_by_octet() {
        assert!(!read("secret").unwrap().is_hash());
        assert!(matches("secret", "secret"));
        assert!(matches("비밀 $2b", "비밀 $2b"));
        for other in ["Secret", "secre", "secret ", ""] {
            assert!(!matches("secret", other), "{other:?}");
        }
        // The composed and the decomposed é are not the same octets.
        assert!(!matches("caf\u{e9}", "cafe\u{301}"));
    }

    #[test]
    fn an_empty_password_is_never_right() {
        assert!(!matches("", ""));
    }

    #[test]
    fn what_only_begins_like_a_hash_is_no_password() {
        for bad in
            ["$argon2id$", "$2b$", "$2y$31$RXdSi6t6rMkNpsZ4CH5REugt9e8XHoYDqX4HHnROLKLaIWtJm.H26"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_of_it_is_printed() {
        assert_eq!(format!("{:?}", read("secret").unwrap()), "Plain(***)");
        assert_eq!(format!("{:?}", read(HASHES[0]).unwrap()), "Argon2(***)");
    }
}
