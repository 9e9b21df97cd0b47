//! The forms of mail on the wire: header fields, encoded words, parameters, transfer encodings, parts.
//!
//! Everything here reads slices of the message and remembers where it found them, because two views are made from it:
//! the [`Email`](super::Email) of structured providers, and the edits of raw ones, which must leave every other byte
//! as it was. mail-parser's whole-message parser cannot serve the second view, and for the first it joins boundaries
//! that only begin alike, converts text attachments, and decodes a character that two encoded words share as two
//! halves; its decoders for charsets, base64 and HTML are used here, and tests hold this reader against it.

pub(super) mod charset;
pub(super) mod fields;
pub(super) mod mailboxes;
pub(super) mod params;
mod stateful;
pub(super) mod structure;
pub(super) mod transfer;
pub(super) mod words;
pub(super) mod write;
