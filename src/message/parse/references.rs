//! What the HTML refers to within the message: by Content-ID, or by Content-Location (RFC 2557).

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use crate::message::mime::structure::{Part, Structure};
use crate::message::mime::transfer;

/// The longest Content-ID that is looked for: a header line's length.
const CONTENT_ID_MAX: usize = 998;
/// The longest address that is compared with a Content-Location.
const LOCATION_MAX: usize = 512;
/// How many references to locations are followed.
const REFERENCES_MAX: usize = 10_000;

/// Those of the `known` Content-IDs that the HTML refers to.
///
/// Only known ones are kept, and no octet is read into two ids: a hostile page names millions.
pub(super) fn cids(html: &str, known: &HashSet<&str>) -> HashSet<String> {
    // Lower case changes no offset in ASCII.
    let lower = html.to_ascii_lowercase();
    let bytes = html.as_bytes();
    let mut ends = Ends::default();
    let mut found = HashSet::new();
    let mut behind = 0;
    if known.is_empty() {
        return found;
    }
    for at in memchr::memmem::find_iter(lower.as_bytes(), b"cid:") {
        if at < behind {
            continue;
        }
        let start = at + 4;
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        let end = match before {
            // Within quotes an id may hold anything, blanks too.
            Some(b'"') => next(&mut ends.double, bytes, start, |byte| byte == b'"'),
            Some(b'\'') => next(&mut ends.single, bytes, start, |byte| byte == b'\''),
            Some(_) | None => next(&mut ends.bare, bytes, start, |byte| {
                byte.is_ascii_whitespace() || b"\"'<>)&".contains(&byte)
            }),
        };
        let Some(id) = html.get(start..end).filter(|id| id.len() <= CONTENT_ID_MAX) else {
            continue;
        };
        behind = end;
        let id = transfer::hex_escapes(id.replace("&amp;", "&").as_bytes(), b'%');
        let id = String::from_utf8_lossy(&id);
        let id = id.trim().trim_matches(['<', '>']);
        if known.contains(id) && !found.contains(id) {
            found.insert(id.to_owned());
        }
    }
    found
}

/// Where the next quotes and the next end of a bare address stand, as far as that is known.
#[derive(Default)]
struct Ends {
    double: usize,
    single: usize,
    bare: usize,
}

/// The first octet from `start` on that `ends`; the length where there is none. `known` is what was found for an earlier
/// start, so that no octet is looked at twice.
fn next(known: &mut usize, bytes: &[u8], start: usize, ends: impl Fn(u8) -> bool) -> usize {
    if *known < start {
        let rest = bytes.get(start..).unwrap_or_default();
        let length = rest.iter().position(|byte| ends(*byte)).unwrap_or(rest.len());
        *known = start + length;
    }
    *known
}

/// The page with references by id, and the parts that it names.
pub(super) struct Located {
    pub(super) html: String,
    /// The id of each part that is named.
    pub(super) ids: HashMap<usize, String>,
    /// There are more references than are followed.
    pub(super) cut: bool,
}

/// APIs know inline parts by Content-ID only: where the HTML names one by its Content-Location, it is made to refer to an
/// id.
pub(super) fn by_location(structure: &Structure, html: &str) -> Option<Located> {
    let page = structure.parts.iter().find(|part| part.is("text/html"));
    let page_base =
        page.and_then(|part| part.location.as_deref().or_else(|| base(structure, part)));
    let mut places: HashMap<String, usize> = HashMap::new();
    for (index, part) in structure.parts.iter().enumerate().filter(|(_, part)| !part.multipart) {
        if let Some(location) = &part.location {
            // Without a base of its own it is relative to the page, to those who wrote it.
            let absolute = resolved(base(structure, part).or(page_base), location);
            for place in [absolute, location.clone()] {
                places.entry(place).or_insert(index);
            }
        }
    }
    if places.is_empty() {
        return None;
    }
    // What relative addresses in the page may mean, so that none has to be made absolute.
    let (root, folder) = page_base.map(root_and_folder).unwrap_or_default();
    let slash = if folder.ends_with('/') { "" } else { "/" };
    let below = |start: &str, slash: &str| -> HashMap<&str, usize> {
        let all = places.iter().filter(|_| page_base.is_some());
        let rest = |place| str::strip_prefix(place, start)?.strip_prefix(slash);
        all.filter_map(|(place, index)| Some((rest(place)?, *index))).collect()
    };
    let (below_root, below_folder) = (below(root, ""), below(folder, slash));
    let index_of = |address: &str| {
        let relative = || match address.strip_prefix("./").unwrap_or(address) {
            _ if has_scheme(address) => None,
            whole if whole.starts_with('/') => below_root.get(whole),
            name => below_folder.get(name),
        };
        places.get(address).or_else(relative).copied()
    };

    let mut ids: HashMap<usize, String> = HashMap::new();
    let mut cut = false;
    let mut followed = 0;
    let mut out = String::with_capacity(html.len());
    let mut copied = 0;
    let mut at = 0;
    while let Some(range) = next_address(html, at) {
        // Within a style there may be another.
        at = range.start;
        let address = html.get(range.clone()).unwrap_or_default();
        let address = if address.contains('&') {
            address.replace("&amp;", "&").into()
        } else {
            Cow::Borrowed(address)
        };
        let Some(index) = index_of(&address) else { continue };
        let Some(part) = structure.parts.get(index) else { continue };
        if followed == REFERENCES_MAX {
            cut = true;
            break;
        }
        followed += 1;
        let id = ids.entry(index).or_insert_with(|| {
            let own = part.content_id.clone().filter(|id| id.len() <= CONTENT_ID_MAX);
            own.unwrap_or_else(|| format!("part{}@mailferry", part.number))
        });
        out.push_str(html.get(copied..range.start).unwrap_or_default());
        out.push_str("cid:");
        out.push_str(id);
        copied = range.end;
        at = range.end;
    }
    if ids.is_empty() {
        return None;
    }
    out.push_str(html.get(copied..).unwrap_or_default());
    Some(Located { html: out, ids, cut })
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
    let Some(base) = base.filter(|_| !has_scheme(address)) else { return address.to_owned() };
    let (root, folder) = root_and_folder(base);
    match address.strip_prefix("./").unwrap_or(address) {
        whole if whole.starts_with('/') => format!("{root}{whole}"),
        name if folder.ends_with('/') => format!("{folder}{name}"),
        name => format!("{folder}/{name}"),
    }
}

fn has_scheme(address: &str) -> bool {
    address.split_once(':').is_some_and(|(it, _)| !it.contains(['/', '?', '#']))
}

/// Of `http://x.org/a/b.html`: `http://x.org` and `http://x.org/a/`.
fn root_and_folder(base: &str) -> (&str, &str) {
    let host = base.find("://").map_or(0, |at| at + 3);
    let root = base.get(host..).and_then(|rest| rest.find('/')).map_or(base.len(), |at| host + at);
    let folder = base.rfind('/').filter(|at| *at >= root).map_or(root, |at| at + 1);
    (base.get(..root).unwrap_or(base), base.get(..folder).unwrap_or(base))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ids_are_read_out_of_attributes_and_styles() {
        let html = "<img src=cid:a@x> <img src='CID:b%40x'> url(cid:c@x) \"cid:%3Cd@x%3E\" \"cid:e 1\" cid:";
        let known = HashSet::from(["a@x", "b@x", "c@x", "d@x", "e 1", "f@x", ""]);
        let mut found: Vec<_> =
            cids(html, &known).into_iter().filter(|id| !id.is_empty()).collect();
        found.sort();
        assert_eq!(found, ["a@x", "b@x", "c@x", "d@x", "e 1"]);
    }

    #[test]
    fn a_page_of_references_costs_no_more_than_its_length() {
        let known = HashSet::from(["a@x"]);
        for page in
            [format!("{}\"", "cid:".repeat(249)), "cid:".to_owned(), "\"cid:'cid:".to_owned()]
        {
            let page = page.repeat(4_000_000 / page.len());
            assert!(cids(&page, &known).is_empty());
            assert_eq!(cids(&format!("<img src=cid:a@x>{page}"), &known).len(), 1);
        }
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
