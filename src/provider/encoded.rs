//! Octets that travel as base64 within JSON.

use std::fmt;

use base64::display::Base64Display;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD};
use serde::{Serialize, Serializer};

/// Octets as a JSON text in base64, encoded while the body is written. A text of its own would be one more copy of the
/// message in memory, a third larger than the octets.
#[derive(Clone, Copy, Debug)]
pub(super) struct InBase64<'a>(pub(super) &'a [u8]);

/// How many characters base64 makes of so many octets.
pub(super) fn length(octets: usize) -> usize {
    octets.div_ceil(3).saturating_mul(4)
}

impl fmt::Display for InBase64<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Base64Display::<GeneralPurpose>::new(self.0, &STANDARD).fmt(f)
    }
}

impl Serialize for InBase64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    #[test]
    fn every_octet_arrives_whatever_the_length() {
        for size in [0, 1, 2, 3, 767, 768, 769, 100_000] {
            let octets: Vec<u8> = (0..=250).cycle().take(size).collect();
            let json = serde_json::to_string(&InBase64(&octets)).unwrap();
            let text: String = serde_json::from_str(&json).unwrap();
            assert_eq!(text.len(), length(size));
            assert_eq!(STANDARD.decode(text).unwrap(), octets);
        }
    }
}
