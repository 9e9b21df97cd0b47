//! A user's password as the configuration has it: the text itself, or a hash that says of which kind it is.

use std::fmt;
use std::str::FromStr as _;

use argon2::password_hash::PasswordVerifier as _;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params};
use bcrypt::HashParts;

use crate::secret::Secret;

/// What one argon2 check may cost: KiB of memory, passes over it, lanes. Four times what is commonly recommended, so that
/// no configuration makes every login take gigabytes or minutes.
const ARGON2_MEMORY_MAX: u32 = 256 * 1024;
const ARGON2_PASSES_MAX: u32 = 32;
const ARGON2_LANES_MAX: u32 = 16;
/// Memory times passes, KiB: the time that it takes, some seconds at most.
const ARGON2_WORK_MAX: u64 = 2 * 1024 * 1024;

/// The binary logarithm of bcrypt's rounds; every step doubles the time, and 15 takes some seconds.
const BCRYPT_COST_MAX: u32 = 15;

const ARGON2_PREFIXES: [&str; 3] = ["$argon2id$", "$argon2i$", "$argon2d$"];
const BCRYPT_PREFIXES: [&str; 3] = ["$2b$", "$2a$", "$2y$"];

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

/// A password that begins like a hash and is none that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHash {
    #[error(
        "begins like an argon2 hash and is not one in PHC form ($argon2id$v=19$m=…,t=…,p=…$salt$hash)"
    )]
    Argon2,
    #[error(
        "is an argon2 hash that would take too much memory or time: at most 256 MiB and 32 passes, and 2 GiB in all passes"
    )]
    Argon2Cost,
    #[error("begins like a bcrypt hash and is not one ($2b$cost$ and 53 characters)")]
    Bcrypt,
    #[error("is a bcrypt hash that would take too much time: the cost is at most 15")]
    BcryptCost,
}

impl Password {
    /// Recognises a hash by how it begins; everything else is the password itself.
    pub fn read(configured: &Secret) -> Result<Self, InvalidHash> {
        let text = configured.expose();
        if ARGON2_PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
            argon2_hash(text).map(|hash| Self::Argon2(Box::new(hash)))
        } else if BCRYPT_PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
            let parts = HashParts::from_str(text).map_err(|_| InvalidHash::Bcrypt)?;
            match parts.get_cost() {
                0..4 => Err(InvalidHash::Bcrypt),
                4..=BCRYPT_COST_MAX => Ok(Self::Bcrypt(configured.clone())),
                _ => Err(InvalidHash::BcryptCost),
            }
        } else {
            Ok(Self::Plain(configured.clone()))
        }
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

fn argon2_hash(text: &str) -> Result<PasswordHash, InvalidHash> {
    let hash = PasswordHash::new(text).map_err(|_| InvalidHash::Argon2)?;
    let known = Algorithm::try_from(hash.algorithm.as_str()).is_ok()
        && matches!(hash.version, None | Some(0x10 | 0x13));
    let params = Params::try_from(&hash).map_err(|_| InvalidHash::Argon2)?;
    if !known || hash.salt.is_none() || hash.hash.is_none() {
        return Err(InvalidHash::Argon2);
    }
    let work = u64::from(params.m_cost()) * u64::from(params.t_cost());
    let bearable = params.m_cost() <= ARGON2_MEMORY_MAX
        && params.t_cost() <= ARGON2_PASSES_MAX
        && params.p_cost() <= ARGON2_LANES_MAX
        && work <= ARGON2_WORK_MAX;
    if bearable { Ok(hash) } else { Err(InvalidHash::Argon2Cost) }
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

    fn read(text: &str) -> Result<Password, InvalidHash> {
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
        for bad in [
            "$argon2id$",
            "$argon2id$v=19$m=64,t=1,p=1$c3kwY0guQ3pjUERPSmNyNw",
            "$argon2id$v=18$m=64,t=1,p=1$c3kwY0guQ3pjUERPSmNyNw$OcITezy4+ow5zks5yFxZeIt4XsMmnXcCuZNwHmOWQ3I",
            "$argon2id$v=19$m=64,t=0,p=1$c3kwY0guQ3pjUERPSmNyNw$OcITezy4+ow5zks5yFxZeIt4XsMmnXcCuZNwHmOWQ3I",
            "$argon2id$v=19$m=64,t=1,p=1,x=1$c3kwY0guQ3pjUERPSmNyNw$OcITezy4+ow5zks5yFxZeIt4XsMmnXcCuZNwHmOWQ3I",
        ] {
            assert_eq!(read(bad).unwrap_err(), InvalidHash::Argon2, "{bad}");
        }
        for bad in
            ["$2b$", "$2b$04$short", "$2y$xx$RXdSi6t6rMkNpsZ4CH5REugt9e8XHoYDqX4HHnROLKLaIWtJm.H26"]
        {
            assert_eq!(read(bad).unwrap_err(), InvalidHash::Bcrypt, "{bad}");
        }
    }

    #[test]
    fn a_hash_cannot_ask_for_gigabytes_or_minutes() {
        for costs in
            ["m=4194304,t=1,p=1", "m=65536,t=1000000,p=1", "m=262144,t=9,p=1", "m=1024,t=1,p=64"]
        {
            let hash = format!(
                "$argon2id$v=19${costs}$c3kwY0guQ3pjUERPSmNyNw$OcITezy4+ow5zks5yFxZeIt4XsMmnXcCuZNwHmOWQ3I"
            );
            assert_eq!(read(&hash).unwrap_err(), InvalidHash::Argon2Cost, "{costs}");
        }
        let slow = "$2y$31$RXdSi6t6rMkNpsZ4CH5REugt9e8XHoYDqX4HHnROLKLaIWtJm.H26";
        assert_eq!(read(slow).unwrap_err(), InvalidHash::BcryptCost);
    }

    #[test]
    fn nothing_of_it_is_printed() {
        assert_eq!(format!("{:?}", read("secret").unwrap()), "Plain(***)");
        assert_eq!(format!("{:?}", read(HASHES[0]).unwrap()), "Argon2(***)");
    }
}
