//! Header fields as they are written: folded, encoded where they are not ASCII. mail-builder does the work.

use std::borrow::Cow;

use mail_builder::headers::Header as _;
use mail_builder::headers::address::Address as HeaderAddress;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::text::Text;

use super::params::Parameterised;
use super::words;
use crate::message::Mailbox;
use crate::message::address::canonical_domain;

/// `Name: address, address`, ended by CRLF.
pub(crate) fn address_field(name: &str, mailboxes: &[Mailbox]) -> Vec<u8> {
    let list = HeaderAddress::new_list(mailboxes.iter().map(header_address).collect());
    let mut out = format!("{name}: ").into_bytes();
    list.write_header(&mut out, name.len() + 2);
    out
}

/// `Name: text`, ended by CRLF.
pub(crate) fn text_field(name: &str, text: &str) -> Vec<u8> {
    let mut out = format!("{name}: ").into_bytes();
    Text::new(text).write_header(&mut out, name.len() + 2);
    out
}

/// `Name: text` with every word encoded, for text that no blank lets be folded.
pub(crate) fn encoded_field(name: &str, text: &str) -> Vec<u8> {
    format!("{name}:\r\n {}\r\n", words::encode(text)).into_bytes()
}

/// `Name: value; parameter=…`, ended by CRLF.
pub(crate) fn parameter_field(name: &str, value: Parameterised) -> Vec<u8> {
    let mut out = format!("{name}: ").into_bytes();
    content_type(value).write_header(&mut out, name.len() + 2);
    out
}

/// Without the name, where mail-builder writes it.
pub(crate) fn content_type(value: Parameterised) -> ContentType<'static> {
    let (value, params) = value.into_parts();
    params
        .into_iter()
        .fold(ContentType::new(value), |all, (name, value)| all.attribute(name, value))
}

/// Domains travel as A-labels; a local part outside ASCII has no other form.
pub(crate) fn header_address(mailbox: &Mailbox) -> HeaderAddress<'_> {
    let name = Some(mailbox.name.as_str()).filter(|name| !name.is_empty());
    let address = match mailbox.address.rsplit_once('@') {
        Some((local, domain)) if !domain.is_ascii() => {
            Cow::Owned(format!("{local}@{}", canonical_domain(domain)))
        }
        Some(_) | None => Cow::Borrowed(mailbox.address.as_str()),
    };
    HeaderAddress::new_address(name, address)
}
