//! DKIM signatures that the app made (RFC 6376). Nothing is verified here; what counts is which fields must stay as they
//! are, so that others can.

use super::mime::fields::Fields;

/// The most names that are kept.
const NAMES_MAX: usize = 1000;

/// What the DKIM-Signature fields of a message cover, all of them together. The body is always part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DkimSignature {
    /// Names of header fields, in lower case, sorted.
    fields: Vec<String>,
}

impl DkimSignature {
    /// True when a change of this header field would break a signature. From is always signed (RFC 6376 §5.4).
    pub fn covers(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case("From")
            || self.fields.binary_search(&name.to_ascii_lowercase()).is_ok()
    }

    /// Reads the header of a message; `None` when it has no such field.
    pub(super) fn of_message(raw: &[u8]) -> Option<Self> {
        let mut signature: Option<Self> = None;
        for field in Fields::of_message(raw).filter(|field| field.is("DKIM-Signature")) {
            let fields = &mut signature.get_or_insert_default().fields;
            let text = field.text(None);
            let tags = text.split(';').filter_map(|tag| tag.split_once('='));
            for (_, names) in tags.filter(|(tag, _)| tag.trim() == "h") {
                let room = NAMES_MAX.saturating_sub(fields.len());
                fields.extend(names.split(':').take(room).map(|it| it.trim().to_ascii_lowercase()));
            }
        }
        if let Some(signature) = &mut signature {
            signature.fields.sort_unstable();
            signature.fields.dedup();
        }
        signature
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_all_signatures_are_covered() {
        let raw = b"DKIM-Signature: v=1; a=rsa-sha256; d=x.org; s=s;\r\n\
            \th=from : to: Subject;\r\n\tbh=x; b=h=date\r\nFrom: a@x.org\r\n\
            dkim-signature: v=1; h=Message-ID; b=x\r\n\r\nDKIM-Signature: h=body\r\n";
        let signature = DkimSignature::of_message(raw).unwrap();
        for name in ["From", "TO", "subject", "Message-Id"] {
            assert!(signature.covers(name), "{name}");
        }
        for name in ["Date", "body", "Cc", ""] {
            assert!(!signature.covers(name), "{name}");
        }
        assert!(DkimSignature::of_message(b"DKIM-Signature: junk\r\n\r\n").unwrap().covers("from"));
        assert_eq!(DkimSignature::of_message(b"From: a@x.org\r\n\r\n"), None);
    }
}
