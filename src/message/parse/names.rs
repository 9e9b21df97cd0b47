//! Names for attachments that have none, and types for those that state none.

/// Media types and the extension that providers and mail readers expect. Of several types with one extension, or the
/// other way round, the first is the usual one.
const EXTENSIONS: [(&str, &str); 54] = [
    ("text/plain", "txt"),
    ("text/html", "html"),
    ("text/calendar", "ics"),
    ("text/csv", "csv"),
    ("text/css", "css"),
    ("text/xml", "xml"),
    ("text/markdown", "md"),
    ("text/enriched", "txt"),
    ("text/richtext", "txt"),
    ("text/x-amp-html", "html"),
    ("text/watch-html", "html"),
    ("text/vcard", "vcf"),
    ("text/x-vcard", "vcf"),
    ("text/rtf", "rtf"),
    ("text/javascript", "js"),
    ("text/x-patch", "patch"),
    ("text/x-diff", "diff"),
    ("text/rfc822-headers", "txt"),
    ("message/rfc822", "eml"),
    ("message/global", "eml"),
    ("message/delivery-status", "txt"),
    ("message/global-delivery-status", "txt"),
    ("message/disposition-notification", "txt"),
    ("message/feedback-report", "txt"),
    ("image/png", "png"),
    ("image/jpeg", "jpg"),
    ("image/jpg", "jpg"),
    ("image/gif", "gif"),
    ("image/webp", "webp"),
    ("image/svg+xml", "svg"),
    ("image/bmp", "bmp"),
    ("image/tiff", "tiff"),
    ("image/heic", "heic"),
    ("image/x-icon", "ico"),
    ("audio/mpeg", "mp3"),
    ("audio/wav", "wav"),
    ("audio/ogg", "ogg"),
    ("video/mp4", "mp4"),
    ("video/quicktime", "mov"),
    ("application/pdf", "pdf"),
    ("application/zip", "zip"),
    ("application/gzip", "gz"),
    ("application/json", "json"),
    ("application/xml", "xml"),
    ("application/ics", "ics"),
    ("application/pgp-signature", "asc"),
    ("application/pgp-keys", "asc"),
    ("application/pkcs7-signature", "p7s"),
    ("application/pkcs7-mime", "p7m"),
    ("application/msword", "doc"),
    ("application/vnd.ms-excel", "xls"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    ("application/x-hwp", "hwp"),
];

/// Of what has no known type. Not `bin`, which some services refuse for what it may be.
const UNKNOWN: &str = "dat";

/// A name for the attachment at this position (counted from 1), with the extension of its type.
pub(super) fn made_up(media_type: &str, position: usize) -> String {
    let extension =
        EXTENSIONS.iter().find(|(known, _)| *known == media_type).map_or(UNKNOWN, |(_, it)| *it);
    let stem = match media_type.split('/').next().unwrap_or_default() {
        "image" => "image",
        "message" => "message",
        _ if media_type == "text/calendar" => "invite",
        _ => "attachment",
    };
    if stem == "invite" {
        // The name that calendars look for.
        return format!("{stem}.{extension}");
    }
    format!("{stem}-{position}.{extension}")
}

/// The name of the file alone, where an old program put the whole path (RFC 2183 §2.3).
pub(super) fn without_path(filename: &str) -> String {
    let bytes = filename.as_bytes();
    let drive = matches!(bytes, [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic());
    let absolute = drive || filename.starts_with(['/', '\\']) || filename.starts_with("..");
    let last = filename.rsplit(['/', '\\']).find(|piece| !piece.is_empty());
    match last {
        Some(last) if absolute && !last.trim_matches('.').is_empty() => last.to_owned(),
        Some(_) | None => filename.to_owned(),
    }
}

/// The type that a file name suggests.
pub(super) fn type_of(filename: &str) -> Option<&'static str> {
    let (_, extension) = filename.rsplit_once('.')?;
    let known = EXTENSIONS.iter().find(|(_, known)| known.eq_ignore_ascii_case(extension));
    known.map(|(media_type, _)| *media_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_up_name_fits_its_type() {
        assert_eq!(made_up("image/png", 2), "image-2.png");
        assert_eq!(made_up("text/calendar", 1), "invite.ics");
        assert_eq!(made_up("message/rfc822", 3), "message-3.eml");
        assert_eq!(made_up("application/x-unheard-of", 1), "attachment-1.dat");
    }

    #[test]
    fn a_path_is_no_part_of_a_name() {
        for (given, name) in [
            (r"C:\Users\ada\a.pdf", "a.pdf"),
            ("/home/ada/a.pdf", "a.pdf"),
            ("../../a.pdf", "a.pdf"),
            (r"\\server\share\a.pdf", "a.pdf"),
            ("AC/DC.mp3", "AC/DC.mp3"),
            ("..", ".."),
            ("/", "/"),
        ] {
            assert_eq!(without_path(given), name, "{given}");
        }
    }

    #[test]
    fn a_type_follows_the_extension() {
        assert_eq!(type_of("보고서.PDF"), Some("application/pdf"));
        assert_eq!(type_of("a.jpg"), Some("image/jpeg"));
        assert_eq!(type_of("README"), None);
    }
}
