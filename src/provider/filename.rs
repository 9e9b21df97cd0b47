//! File names and media types that agree.
//!
//! Resend takes a message whose attachment is named against its type and then silently never delivers it (field
//! reports). Pairs of which either is unknown are let through, so only contradictions are mended.

use crate::message::Attachment;

/// An attachment's name and type, made to agree.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Agreed {
    pub(super) filename: String,
    pub(super) content_type: String,
}

/// Extensions, and the types that go with them, the usual one first.
const KNOWN: &[(&str, &[&str])] = &[
    ("txt", &["text/plain"]),
    ("log", &["text/plain"]),
    ("md", &["text/markdown", "text/plain"]),
    ("html", &["text/html", "application/xhtml+xml"]),
    ("htm", &["text/html"]),
    ("css", &["text/css"]),
    ("csv", &["text/csv"]),
    ("tsv", &["text/tab-separated-values"]),
    ("ics", &["text/calendar", "application/ics"]),
    ("vcf", &["text/vcard", "text/x-vcard"]),
    ("xml", &["application/xml", "text/xml"]),
    ("json", &["application/json"]),
    ("js", &["text/javascript", "application/javascript"]),
    ("yaml", &["application/yaml", "text/yaml", "application/x-yaml", "text/x-yaml"]),
    ("yml", &["application/yaml", "text/yaml", "application/x-yaml", "text/x-yaml"]),
    ("pdf", &["application/pdf"]),
    ("ps", &["application/postscript"]),
    ("rtf", &["application/rtf", "text/rtf"]),
    ("doc", &["application/msword"]),
    ("docx", &["application/vnd.openxmlformats-officedocument.wordprocessingml.document"]),
    ("xls", &["application/vnd.ms-excel"]),
    ("xlsx", &["application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"]),
    ("ppt", &["application/vnd.ms-powerpoint"]),
    ("pptx", &["application/vnd.openxmlformats-officedocument.presentationml.presentation"]),
    ("odt", &["application/vnd.oasis.opendocument.text"]),
    ("ods", &["application/vnd.oasis.opendocument.spreadsheet"]),
    ("odp", &["application/vnd.oasis.opendocument.presentation"]),
    ("epub", &["application/epub+zip"]),
    ("zip", &["application/zip", "application/x-zip-compressed"]),
    ("gz", &["application/gzip", "application/x-gzip"]),
    ("tgz", &["application/gzip", "application/x-gzip", "application/x-compressed-tar"]),
    ("bz2", &["application/x-bzip2"]),
    ("xz", &["application/x-xz"]),
    ("7z", &["application/x-7z-compressed"]),
    ("tar", &["application/x-tar"]),
    ("png", &["image/png"]),
    ("jpg", &["image/jpeg", "image/jpg", "image/pjpeg"]),
    ("jpeg", &["image/jpeg", "image/jpg", "image/pjpeg"]),
    ("gif", &["image/gif"]),
    ("webp", &["image/webp"]),
    ("avif", &["image/avif"]),
    ("heic", &["image/heic"]),
    ("bmp", &["image/bmp", "image/x-ms-bmp"]),
    ("ico", &["image/vnd.microsoft.icon", "image/x-icon"]),
    ("svg", &["image/svg+xml"]),
    ("tif", &["image/tiff"]),
    ("tiff", &["image/tiff"]),
    ("mp3", &["audio/mpeg", "audio/mp3"]),
    ("m4a", &["audio/mp4", "audio/x-m4a"]),
    ("ogg", &["audio/ogg", "application/ogg"]),
    ("wav", &["audio/wav", "audio/x-wav", "audio/vnd.wave"]),
    ("flac", &["audio/flac", "audio/x-flac"]),
    ("mp4", &["video/mp4"]),
    ("mov", &["video/quicktime"]),
    ("webm", &["video/webm"]),
    ("avi", &["video/x-msvideo"]),
    ("eml", &["message/rfc822"]),
    ("p7s", &["application/pkcs7-signature", "application/x-pkcs7-signature"]),
    ("pkpass", &["application/vnd.apple.pkpass"]),
    ("bin", &["application/octet-stream"]),
    // Signatures, keys, and encrypted mail, which is an octet stream (RFC 3156 §4).
    (
        "asc",
        &[
            "application/pgp-signature",
            "application/pgp-keys",
            "application/octet-stream",
            "text/plain",
        ],
    ),
];

/// The name and type to send.
///
/// A contradiction is mended where it costs least: a type that says nothing gives way to the extension, otherwise the
/// name gets the extension of its type at its end.
pub(super) fn agreed(attachment: &Attachment) -> Agreed {
    let filename: String = attachment
        .filename
        .chars()
        .map(|c| if c.is_control() || c == '/' || c == '\\' { '_' } else { c })
        .collect();
    let given = attachment.content_type.trim();
    let essence = essence(given);
    let types = extension(&filename).as_deref().and_then(types_of);
    let ending = extension_of(&essence);
    let keep = |filename| Agreed { filename, content_type: given.to_owned() };

    match (types, ending) {
        (Some(types), _) if types.contains(&essence.as_str()) => keep(filename),
        (Some(types), ending) if ending.is_none_or(|ending| ending == "bin") => {
            let content_type = types.first().copied().unwrap_or("application/octet-stream");
            Agreed { filename, content_type: content_type.to_owned() }
        }
        (Some(_), Some(ending)) => keep(format!("{filename}.{ending}")),
        (None, Some(ending)) if extension(&filename).is_none() => {
            keep(format!("{filename}.{ending}"))
        }
        (Some(_) | None, Some(_) | None) if given.is_empty() => {
            Agreed { filename, content_type: "application/octet-stream".to_owned() }
        }
        (Some(_) | None, Some(_) | None) => keep(filename),
    }
}

/// The type without its parameters, in lower case.
pub(super) fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The type that goes with a name, by its extension.
pub(super) fn usual_type(filename: &str) -> Option<&'static str> {
    types_of(&extension(filename)?)?.first().copied()
}

/// What follows the last dot, in lower case, if something stands before it.
pub(super) fn extension(filename: &str) -> Option<String> {
    let (stem, extension) = filename.rsplit_once('.')?;
    (!stem.is_empty() && !extension.is_empty()).then(|| extension.to_ascii_lowercase())
}

fn types_of(extension: &str) -> Option<&'static [&'static str]> {
    KNOWN.iter().find(|(known, _)| *known == extension).map(|(_, types)| *types)
}

fn extension_of(essence: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(_, types)| types.contains(&essence)).map(|(extension, _)| *extension)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::samples::attachment;

    #[test]
    fn names_and_types_are_made_to_agree() {
        for (name, content_type, sent_name, sent_type) in [
            // What agrees, or cannot be judged, stays.
            ("보고서.PDF", "application/pdf", "보고서.PDF", "application/pdf"),
            ("a.ics", "text/calendar; method=REQUEST", "a.ics", "text/calendar; method=REQUEST"),
            ("a.blob", "application/x-thing", "a.blob", "application/x-thing"),
            ("a.blob", "application/pdf", "a.blob", "application/pdf"),
            ("README", "application/x-thing", "README", "application/x-thing"),
            // A contradiction goes to the end of the name.
            ("data.txt", "text/csv", "data.txt.csv", "text/csv"),
            ("photo.png", "image/jpeg", "photo.png.jpg", "image/jpeg"),
            // No extension, or a file that only begins with a dot.
            ("photo", "image/png", "photo.png", "image/png"),
            (".profile", "text/plain", ".profile.txt", "text/plain"),
            ("dump", "application/octet-stream", "dump.bin", "application/octet-stream"),
            // A type that says nothing, or that nobody knows, gives way.
            ("a.pdf", "application/octet-stream", "a.pdf", "application/pdf"),
            ("a.pdf", "application/x-thing", "a.pdf", "application/pdf"),
            ("a.pdf", "", "a.pdf", "application/pdf"),
            ("mail.asc", "application/octet-stream", "mail.asc", "application/octet-stream"),
            ("a.blob", "", "a.blob", "application/octet-stream"),
            // Paths and line breaks are no part of a name.
            ("../a\r\nb.txt", "text/plain", ".._a__b.txt", "text/plain"),
        ] {
            let sent = agreed(&attachment(name, content_type, b""));
            assert_eq!(
                (sent.filename.as_str(), sent.content_type.as_str()),
                (sent_name, sent_type)
            );
        }
    }

    #[test]
    fn what_was_made_to_agree_stays_so() {
        for (extension, types) in KNOWN {
            for content_type in *types {
                let first = agreed(&attachment(&format!("x.{extension}"), content_type, b""));
                let again = agreed(&attachment(&first.filename, &first.content_type, b""));
                assert_eq!(first, again);
            }
        }
    }
}
