//! What the HTML refers to within the message: by Content-ID, or by Content-Location (RFC 2557).

use std::collections::{HashMap, HashSet};

use crate::message::mime::structure::{Part, Structure};
use crate::message::mime::transfer;

/// The longest Content-ID that is looked for: a header line's length.
const CONTENT_ID_MAX: usize = 998;
/// The longest address that is compared with a Content-Location.
const LOCATION_MAX: usize = 512;

/// The Content-IDs that the HTML refers to.
pub(super) fn cids(html: &str) -> HashSet<String> {
    // Lower case changes no offset in ASCII.
    let lower = html.to_ascii_lowercase();
    memchr::memmem::find_iter(lower.as_bytes(), b"cid:")
        .filter_map(|at| {
            let before = at.checked_sub(1).and_then(|at| html.as_bytes().get(at));
            let quote = before.filter(|byte| matches!(byte, b'"' | b'\''));
            // Within quotes an id may hold anything, blanks too.
            let ends = |byte: &u8| match quote {
                Some(quote) => byte == quote,
                None => byte.is_ascii_whitespace() || b"\"'<>)&".contains(byte),
            };
            let rest = html.get(at + 4..)?;
            let end = rest.as_bytes().iter().take(CONTENT_ID_MAX).position(ends)?;
            rest.get(..end)
        })
        .map(|id| {
            let bytes = transfer::hex_escapes(id.replace("&amp;", "&").as_bytes(), b'%');
            String::from_utf8_lossy(&bytes).trim().trim_matches(['<', '>']).to_owned()
        })
        .collect()
}

/// APIs know inline parts by Content-ID only: where the HTML names one by its Content-Location, it is made to refer to an
/// id. Returns the new HTML and the id of each part that is named.
pub(super) fn by_location(
    structure: &Structure,
    html: &str,
) -> Option<(String, HashMap<usize, String>)> {
    let page = structure.parts.iter().find(|part| part.is("text/html"));
    let page_base =
        page.and_then(|part| part.location.as_deref().or_else(|| base(structure, part)));
    let mut places: HashMap<String, usize> = HashMap::new();
    for (index, part) in structure.parts.iter().enumerate().filter(|(_, part)| !part.multipart) {
        if let Some(location) = &part.location {
            // Without a base of its own it was saved with the page.
            let base = base(structure, part).or(page_base);
            for place in [resolved(base, location), location.clone()] {
                places.entry(place).or_insert(index);
            }
        }
    }
    if places.is_empty() {
        return None;
    }

    let mut named = HashMap::new();
    let mut out = String::with_capacity(html.len());
    let mut copied = 0;
    let mut at = 0;
    while let Some(range) = next_address(html, at) {
        // Within a style there may be another.
        at = range.start;
        let address = html.get(range.clone()).unwrap_or_default().replace("&amp;", "&");
        let whole = || places.get(&resolved(page_base, &address));
        let Some(&index) = places.get(&address).or_else(whole) else { continue };
        let Some(part) = structure.parts.get(index) else { continue };
        let id = named.entry(index).or_insert_with(|| {
            part.content_id.clone().unwrap_or_else(|| format!("part{}@mailferry", part.number))
        });
        out.push_str(html.get(copied..range.start).unwrap_or_default());
        out.push_str("cid:");
        out.push_str(id);
        copied = range.end;
        at = range.end;
    }
    if named.is_empty() {
        return None;
    }
    out.push_str(html.get(copied..).unwrap_or_default());
    Some((out, named))
}

/// Where the next attribute value or `url(…)` behind `from` stands.
fn next_address(html: &str, from: usize) -> Option<std::ops::Range<usize>> {
    let bytes = html.as_bytes();
    let mut at = from;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'=', b'(', rest)) {
        let mark = at + found;
        at = mark + 1;
        let url = mark
            .checked_sub(3)
            .and_then(|start| bytes.get(start..mark))
            .is_some_and(|it| it.eq_ignore_ascii_case(b"url"));
        if bytes.get(mark) == Some(&b'(') && !url {
            continue;
        }
        let blanks = bytes.get(at..)?.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let (start, end) = match bytes.get(at + blanks) {
            Some(quote @ (b'"' | b'\'')) => (at + blanks + 1, *quote),
            Some(_) if url && bytes.get(mark) == Some(&b'(') => (at + blanks, b')'),
            Some(_) | None => continue,
        };
        let window = bytes.get(start..bytes.len().min(start + LOCATION_MAX))?;
        if let Some(length) = memchr::memchr(end, window) {
            return Some(start..start + length);
        }
    }
    None
}

/// What relative locations of a part are relative to: its Content-Base, else that of what holds it, or its location.
fn base<'a>(structure: &'a Structure, part: &'a Part) -> Option<&'a str> {
    let mut above = Some(part);
    while let Some(part) = above {
        if let Some(base) = &part.base {
            return Some(base);
        }
        above = part.parent.and_then(|parent| structure.parts.get(parent));
        if let Some(location) = above.and_then(|part| part.location.as_deref()) {
            return Some(location);
        }
    }
    None
}

/// An address made absolute, as far as is needed to compare two.
fn resolved(base: Option<&str>, address: &str) -> String {
    let has_scheme = address.split_once(':').is_some_and(|(it, _)| !it.contains(['/', '?', '#']));
    let Some(base) = base.filter(|_| !has_scheme) else { return address.to_owned() };
    let host = base.find("://").map_or(0, |at| at + 3);
    let root = base.get(host..).and_then(|rest| rest.find('/')).map_or(base.len(), |at| host + at);
    if address.starts_with('/') {
        return format!("{}{address}", base.get(..root).unwrap_or_default());
    }
    let folder = base.rfind('/').filter(|at| *at >= root).map_or(root, |at| at);
    let address = address.strip_prefix("./").unwrap_or(address);
    format!("{}/{address}", base.get(..folder).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ids_are_read_out_of_attributes_and_styles() {
        let html = "<img src=cid:a@x> <img src='CID:b%40x'> url(cid:c@x) \"cid:%3Cd@x%3E\" \"cid:e 1\" cid:";
        let mut found: Vec<_> = cids(html).into_iter().filter(|id| !id.is_empty()).collect();
        found.sort();
        assert_eq!(found, ["a@x", "b@x", "c@x", "d@x", "e 1"]);
    }

    #[test]
    fn addresses_are_made_absolute() {
        for (base, address, whole) in [
            (Some("http://x.org/a/b.html"), "i.png", "http://x.org/a/i.png"),
            (Some("http://x.org/a/"), "./i.png", "http://x.org/a/i.png"),
            (Some("http://x.org"), "i.png", "http://x.org/i.png"),
            (Some("http://x.org/a/"), "/i.png", "http://x.org/i.png"),
            (Some("http://x.org/a/"), "ftp://y.org/i", "ftp://y.org/i"),
            (None, "i.png", "i.png"),
        ] {
            assert_eq!(resolved(base, address), whole, "{base:?} {address}");
        }
    }
}
