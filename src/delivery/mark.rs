//! Whether two configurations of a provider are the same.

use std::fmt;

use aws_lc_rs::digest;

/// Tells configurations of a provider apart, its secrets included. It is compared and never shown: a short password could be
/// guessed from it.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct SetupMark([u8; 32]);

impl SetupMark {
    /// Of everything that the provider is configured by, in an order that stays the same.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        for part in parts {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let mut mark = [0; 32];
        for (octet, hashed) in mark.iter_mut().zip(hash.finish().as_ref()) {
            *octet = *hashed;
        }
        Self(mark)
    }

    /// Enough of it to see that it is not another one, and too little to guess a secret from.
    pub(super) fn short(&self) -> u16 {
        let [first, second, ..] = self.0;
        u16::from_be_bytes([first, second])
    }
}

impl fmt::Debug for SetupMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SetupMark")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_configurations_apart_and_shows_nothing() {
        let mark = SetupMark::of(["resend", "re_1"]);
        assert_eq!(mark, SetupMark::of(["resend", "re_1"]));
        for other in [&["resend", "re_2"][..], &["resendre_1"], &["resendr", "e_1"], &[]] {
            assert_ne!(mark, SetupMark::of(other.iter().copied()), "{other:?}");
        }
        assert_eq!(format!("{mark:?}"), "SetupMark");
    }
}
