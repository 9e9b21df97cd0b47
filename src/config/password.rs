//! What stands in `password`: the password itself, or which hash of it.

use argon2::password_hash::phc::PasswordHash;

use crate::secret::Secret;

/// How a password is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordForm {
    /// As it is.
    Plain,
    /// An argon2 hash in PHC form, `$argon2id$v=19$…`.
    Argon2,
    /// A bcrypt hash, `$2b$12$…`.
    Bcrypt,
}

/// What is wrong with it; never the value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PasswordFault(pub(super) String);

/// The most memory that checking one password may take, in KiB. Several may be checked at the same time.
const ARGON2_MEMORY_MAX: u32 = 256 << 10;
/// The most memory times passes, in KiB: some seconds of one processor.
const ARGON2_WORK_MAX: u64 = 2 << 20;
/// The most passes over the memory.
const ARGON2_PASSES_MAX: u32 = 32;
/// The most lanes, which are worked through one after the other.
const ARGON2_LANES_MAX: u32 = 16;
/// The binary logarithm of the rounds; each step doubles the time, and 15 takes some seconds.
const BCRYPT_COST_MAX: u32 = 15;
/// The length of every bcrypt hash.
const BCRYPT_LENGTH: usize = 60;

impl PasswordForm {
    /// Tells by how the text begins. One that begins like a hash and is none that can be checked is never taken for
    /// a password: whoever wrote it meant something else.
    pub fn of(password: &Secret) -> Result<Self, PasswordFault> {
        let text = password.expose();
        if text.starts_with("$argon2") {
            return argon2(text).map(|()| Self::Argon2);
        }
        if ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| text.starts_with(prefix)) {
            return bcrypt(text).map(|()| Self::Bcrypt);
        }
        if lost_its_words(text) {
            return fault(
                "is an argon2 hash that has lost all words after a $: a shell or Docker Compose took them \
                 for variables. Quote it with ', write $$ for each $, or use password_file",
            );
        }
        if is_foreign(text) {
            return fault(
                "begins like a hash of a kind that is not known here; make one with \
                 `mailferry hash-password` (argon2 in PHC form and bcrypt are taken, without a {SCHEME} before it)",
            );
        }
        Ok(Self::Plain)
    }
}

fn fault(message: impl Into<String>) -> Result<PasswordForm, PasswordFault> {
    Err(PasswordFault(message.into()))
}

const REMAKE: &str = "make a new one with `mailferry hash-password`";

fn argon2(text: &str) -> Result<(), PasswordFault> {
    let invalid = || {
        let form = "$argon2id$v=19$m=…,t=…,p=…$salt$hash";
        PasswordFault(format!("begins like an argon2 hash and is none ({form}); {REMAKE}"))
    };
    let hash = PasswordHash::new(text).map_err(|_| invalid())?;
    let complete = hash.salt.is_some() && hash.hash.is_some();
    let known = argon2::Algorithm::try_from(hash.algorithm.as_str()).is_ok()
        && hash.version.is_none_or(|version| argon2::Version::try_from(version).is_ok());
    let params = argon2::Params::try_from(&hash).ok().filter(|_| complete && known);
    let params = params.ok_or_else(invalid)?;

    let work = u64::from(params.m_cost()) * u64::from(params.t_cost());
    if params.m_cost() > ARGON2_MEMORY_MAX
        || params.t_cost() > ARGON2_PASSES_MAX
        || work > ARGON2_WORK_MAX
        || params.p_cost() > ARGON2_LANES_MAX
    {
        return Err(PasswordFault(format!(
            "is an argon2 hash that takes too much to check (m above {ARGON2_MEMORY_MAX}, t above \
             {ARGON2_PASSES_MAX}, m times t above {ARGON2_WORK_MAX} or p above {ARGON2_LANES_MAX}): every attempt to log in costs as much; {REMAKE}"
        )));
    }
    Ok(())
}

fn bcrypt(text: &str) -> Result<(), PasswordFault> {
    let parts: Option<bcrypt::HashParts> = Some(text)
        .filter(|text| text.len() == BCRYPT_LENGTH && text.is_ascii())
        .and_then(|text| text.parse().ok());
    match parts {
        None => Err(PasswordFault(format!(
            "begins like a bcrypt hash and is none ($2b$12$ and 53 characters); {REMAKE}"
        ))),
        Some(parts) if !(4..=BCRYPT_COST_MAX).contains(&parts.get_cost()) => {
            Err(PasswordFault(format!(
                "is a bcrypt hash of a cost not between 4 and {BCRYPT_COST_MAX}: every attempt to log in takes as long; {REMAKE}"
            )))
        }
        Some(_) => Ok(()),
    }
}

/// Whether this is what is left of an argon2 hash when `$argon2id`, `$v`, `$m` and the rest were taken for variables.
fn lost_its_words(text: &str) -> bool {
    let rest = text.strip_prefix("=19=").or_else(|| text.strip_prefix("=16="));
    rest.is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_digit())
            && rest.contains(",t=")
            && rest.contains(",p=")
    })
}

/// Whether this begins like a hash of crypt(3), PHC or LDAP that is neither argon2 nor bcrypt.
fn is_foreign(text: &str) -> bool {
    const NAMES: [&str; 14] = [
        "2",
        "2x",
        "1",
        "5",
        "6",
        "7",
        "y",
        "gy",
        "apr1",
        "sha1",
        "scrypt",
        "pbkdf2",
        "pbkdf2-sha256",
        "pbkdf2-sha512",
    ];
    let modular = text.strip_prefix('$').and_then(|rest| rest.split_once('$'));
    if modular.is_some_and(|(name, _)| NAMES.contains(&name)) {
        return true;
    }
    let scheme = text.strip_prefix('{').and_then(|rest| rest.split_once('}'));
    let is_scheme = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || "-._".contains(c);
    scheme.is_some_and(|(name, rest)| {
        !name.is_empty()
            && !rest.is_empty()
            && name.chars().all(is_scheme)
            && name.starts_with(|c: char| c.is_ascii_uppercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made for these tests.
    const ARGON2: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZSBzYWx0IGhlcmU$\
                          Zmlyc3QgdGhpcnR5LXR3byBvY3RldHMgb2YgaXQhISE";

    fn form(text: &str) -> Result<PasswordForm, PasswordFault> {
        PasswordForm::of(&Secret::new(text))
    }

    #[test]
    fn a_hash_says_so_itself() {
        assert_eq!(form(ARGON2), Ok(PasswordForm::Argon2));
        assert_eq!(form(&ARGON2.replace("argon2id", "argon2i")), Ok(PasswordForm::Argon2));
        let bcrypt = bcrypt::hash_with_salt("x", 4, [7; 16]).unwrap().to_string();
        assert_eq!(form(&bcrypt), Ok(PasswordForm::Bcrypt));
        assert_eq!(form(&bcrypt.replacen("$2b$", "$2y$", 1)), Ok(PasswordForm::Bcrypt));
        for plain in [
            "hunter2",
            "$ecret",
            "$",
            "$2",
            "$$$",
            "{}",
            "{secret}x",
            "{ABC}",
            "=19=x",
            "a$argon2id$",
        ] {
            assert_eq!(form(plain), Ok(PasswordForm::Plain), "{plain}");
        }
    }

    #[test]
    fn what_begins_like_a_hash_and_is_none_is_no_password() {
        let bcrypt = bcrypt::hash_with_salt("x", 4, [7; 16]).unwrap().to_string();
        for (text, expected) in [
            ("$argon2id$".to_owned(), "is none"),
            ("$argon2id$v=19$m=19456,t=2,p=1$c29tZSBzYWx0IGhlcmU".to_owned(), "is none"),
            (ARGON2.replace("argon2id", "argon2x"), "is none"),
            (ARGON2.replace("v=19", "v=7"), "is none"),
            (ARGON2.replace("m=19456", "m=1"), "is none"),
            (ARGON2.replace("m=19456", "m=4000000"), "too much to check"),
            (ARGON2.replace("t=2", "t=200"), "too much to check"),
            (ARGON2.replace("p=1", "p=200"), "too much to check"),
            ("$2b$".to_owned(), "is none"),
            (format!("{bcrypt}x"), "is none"),
            (bcrypt.replace("$04$", "$31$"), "between 4 and 15"),
            (bcrypt.replace("$04$", "$99$"), ""),
            // Old bcrypt with a fault that makes other passwords fit.
            (bcrypt.replacen("$2b$", "$2x$", 1), "not known here"),
            ("$6$salt$hash".to_owned(), "not known here"),
            ("$y$j9T$salt$hash".to_owned(), "not known here"),
            ("{SHA512-CRYPT}$6$salt$hash".to_owned(), "not known here"),
            ("{PLAIN}x".to_owned(), "not known here"),
            ("=19=19456,t=2,p=1".to_owned(), "password_file"),
        ] {
            let PasswordFault(message) = form(&text).expect_err(&text);
            assert!(message.contains(expected), "{text}: {message}");
            assert!(
                message.contains("hash-password") || message.contains("password_file"),
                "{message}"
            );
        }
    }
}
