//! The message as raw-capable providers get it: the bytes as submitted, with the edits that are necessary.
//!
//! [`prepare_raw`] makes those that every such provider needs. [`to_seven_bit`] is for those whose way is 7-bit.
//! Both leave every other byte as it was, and give the same bytes for the same message each time.

mod edits;
mod prepare;
mod seven_bit;
mod signed;

pub use prepare::{RawEdits, prepare_raw};
pub use seven_bit::{Untouchable, to_seven_bit};
pub use signed::{losses_of_edits, losses_of_raw, with_own_reference};
