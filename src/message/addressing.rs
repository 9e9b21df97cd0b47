//! Who of the envelope is visible in which call.

use super::{Address, Addressing, Email};

impl Addressing {
    /// Splits the recipients that are still to be served into calls of at most `max` recipients.
    ///
    /// Visible To and Cc are the header's addresses that are in `pending`, in their order, with their display names; the
    /// rest is hidden. With `needs_visible` (structured APIs) a call in which nothing visible is left serves one
    /// recipient only. The same input gives the same calls, and when the first of them are taken out of `pending`,
    /// the others stay as they were.
    pub fn split(email: &Email, pending: &[Address], max: usize, needs_visible: bool) -> Vec<Self> {
        let _ = (email, pending, max, needs_visible);
        Vec::new()
    }

    /// Every recipient of this call.
    pub fn recipients(&self) -> impl Iterator<Item = &str> {
        let visible = self.to.iter().chain(&self.cc).map(|mailbox| mailbox.address.as_str());
        visible.chain(self.bcc.iter().map(Address::as_str))
    }
}
