//! What an address of an image is shown as. Nothing is shown that would be fetched, unless that was asked for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use url::Url;

use crate::message::Attachment;
use crate::message::mime::transfer;

/// How many octets all `data:` addresses of one document may have together.
const INLINE_MAX: usize = 5 * 1024 * 1024;
/// The longest address of a remote image.
const ADDRESS_MAX: usize = 4096;

/// Whether images of other hosts are loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Remote {
    /// They are not: loading one tells its host that the mail was opened, when and where.
    #[default]
    Blocked,
    /// The reader has asked for them.
    Allowed,
}

/// The images of one message, and what has been spent on them.
#[derive(Debug)]
pub(super) struct Images {
    by_id: HashMap<String, Bytes>,
    remote: Remote,
    tally: Mutex<Tally>,
}

/// What was met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// References to images of other hosts, shown or not.
    pub(super) remote: usize,
    /// References to parts that cannot be shown: no raster image, or the room is used up.
    pub(super) left_out: usize,
    inline: usize,
}

impl Images {
    /// Those that the HTML may refer to by their Content-ID; of two with the same one the first counts.
    pub(super) fn of(attachments: &[Attachment], remote: Remote) -> Self {
        let mut by_id = HashMap::new();
        for attachment in attachments {
            if let Some(id) = &attachment.content_id {
                by_id.entry(id.clone()).or_insert_with(|| attachment.bytes.clone());
            }
        }
        Self { by_id, remote, tally: Mutex::default() }
    }

    pub(super) fn tally(&self) -> Tally {
        *self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address to write in place of this one, if the image may be shown.
    pub(super) fn shown(&self, address: &str) -> Option<String> {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let address = plain(address);
        let scheme = address.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            Some("cid") => {
                let shown = self.part(&address, &mut tally);
                tally.left_out += usize::from(shown.is_none());
                shown
            }
            Some("data") => {
                let shown = embedded(&address).filter(|shown| tally.has_room_for(shown.len()));
                tally.left_out += usize::from(shown.is_none());
                shown
            }
            Some("http" | "https") => self.distant(&address, &mut tally),
            // Without a scheme it is the one of the page, which a mail does not have.
            Some(_) | None if address.starts_with("//") => {
                self.distant(&format!("https:{address}"), &mut tally)
            }
            Some(_) | None => None,
        }
    }

    /// A part of the message. A mail may name a large one very often: it is written only where there is room for it.
    fn part(&self, address: &str, tally: &mut Tally) -> Option<String> {
        let (_, id) = address.split_once(':')?;
        let id = transfer::hex_escapes(id.as_bytes(), b'%');
        let id = String::from_utf8_lossy(&id);
        let bytes = self.by_id.get(id.trim().trim_matches(['<', '>']))?;
        let head = format!("data:{};base64,", raster(bytes)?);
        let length = base64::encoded_len(bytes.len(), true)?.checked_add(head.len())?;
        tally.has_room_for(length).then(|| head + &STANDARD.encode(bytes))
    }

    fn distant(&self, address: &str, tally: &mut Tally) -> Option<String> {
        let url = Url::parse(address).ok().filter(|_| address.len() <= ADDRESS_MAX)?;
        url.host()?;
        tally.remote += 1;
        (self.remote == Remote::Allowed).then(|| url.into())
    }
}

impl Tally {
    /// Takes so many octets of the room for images, if they are left.
    fn has_room_for(&mut self, octets: usize) -> bool {
        let fits = octets <= INLINE_MAX - self.inline;
        if fits {
            self.inline += octets;
        }
        fits
    }
}

/// The address as browsers read it: line ends and tabs are no part of it, and blanks around it neither.
pub(super) fn plain(address: &str) -> String {
    let inner = address.trim_matches(|c: char| c <= ' ');
    inner.chars().filter(|c| !matches!(c, '\t' | '\n' | '\r')).collect()
}

/// An image within the HTML itself, written anew with the type that its content has.
fn embedded(address: &str) -> Option<String> {
    let (head, content) = address.split_once(',')?;
    let base64 = head.to_ascii_lowercase().ends_with(";base64");
    if !base64 || content.len() > INLINE_MAX {
        return None;
    }
    let content = transfer::hex_escapes(content.as_bytes(), b'%');
    let (bytes, _) = transfer::base64(&content);
    let kind = raster(&bytes)?;
    Some(format!("data:{kind};base64,{}", STANDARD.encode(&bytes)))
}

/// The type of a raster image, by its first octets. What a part says of itself counts for nothing; SVG is a document and
/// not a picture.
fn raster(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', b'f' | b's', ..] => {
            Some("image/avif")
        }
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => Some("image/bmp"),
        [..] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIF: &[u8] = b"GIF89a\x01\0\x01\0\0\0\0;";

    fn part(id: &str, bytes: &'static [u8]) -> Attachment {
        let bytes = Bytes::from_static(bytes);
        Attachment { content_id: Some(id.to_owned()), bytes, ..Attachment::default() }
    }

    #[test]
    fn parts_are_shown_within_the_document() {
        let images = Images::of(&[part("a@x", GIF), part("a@x", b"no")], Remote::Blocked);
        let data = format!("data:image/gif;base64,{}", STANDARD.encode(GIF));
        for address in ["cid:a@x", " CID:a%40x\n", "cid:%3Ca@x%3E", "ci\td:a@x", data.as_str()] {
            assert_eq!(images.shown(address).as_ref(), Some(&data), "{address}");
        }
        assert_eq!(images.tally().left_out, 0);
    }

    #[test]
    fn only_raster_images_are_shown() {
        let svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>";
        let images = Images::of(&[part("s@x", svg), part("h@x", b"<html>")], Remote::Allowed);
        let data = format!("data:image/png;base64,{}", STANDARD.encode(svg));
        for address in [
            "cid:s@x",
            "cid:h@x",
            "cid:unknown",
            &data,
            "data:image/svg+xml,<svg>",
            "data:text/html;base64,PHNjcmlwdD4=",
            "javascript:alert(1)",
            "blob:https://x.example/1",
            "file:///etc/passwd",
            "a.png",
            "/a.png",
            "",
        ] {
            assert_eq!(images.shown(address), None, "{address}");
        }
        assert_eq!(images.tally().remote, 0);
    }

    #[test]
    fn remote_images_are_counted_and_wait_until_they_are_asked_for() {
        for (remote, shown) in [(Remote::Blocked, false), (Remote::Allowed, true)] {
            let images = Images::of(&[], remote);
            for address in ["https://x.example/a", "HTTP://x.example", "//x.example/a", "http:/x"] {
                assert_eq!(images.shown(address).is_some(), shown, "{address}");
            }
            assert_eq!(images.tally().remote, 4);
        }
        let images = Images::of(&[], Remote::Allowed);
        assert_eq!(images.shown("//x.example/a b").as_deref(), Some("https://x.example/a%20b"));
        assert_eq!(images.shown("https://"), None);
    }

    #[test]
    fn there_is_room_for_so_much_and_no_more() {
        let bytes: &'static [u8] = Box::leak([GIF, &vec![0; 1024 * 1024]].concat().into());
        let images = Images::of(&[part("a@x", bytes)], Remote::Blocked);
        let shown = (0..10).filter_map(|_| images.shown("cid:a@x")).map(|it| it.len());
        let octets: Vec<usize> = shown.collect();
        assert_eq!(octets.len(), 3);
        assert!(octets.iter().sum::<usize>() <= INLINE_MAX);
        assert_eq!(images.tally().left_out, 7);
    }

    #[test]
    fn a_large_image_is_not_written_where_there_is_no_room_for_it() {
        let bytes: &'static [u8] = Box::leak([GIF, &vec![0; 3 * 1024 * 1024]].concat().into());
        let images = Images::of(&[part("a@x", bytes)], Remote::Blocked);
        // Were each written, this would be a hundred gigabytes.
        let shown = (0..25_000).filter_map(|_| images.shown("cid:a@x")).count();
        assert_eq!((shown, images.tally().left_out), (1, 24_999));
    }
}
