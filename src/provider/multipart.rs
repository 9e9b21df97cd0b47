//! Bodies of type `multipart/form-data` (RFC 7578), the same bytes for the same content.

use aws_lc_rs::digest;
use bytes::Bytes;
use memchr::memmem::Finder;

/// A form with text fields and, last, one file.
#[derive(Clone, Copy, Debug)]
pub(super) struct FormData<'a> {
    /// Names and values, in their order. A name may occur more than once.
    pub(super) fields: &'a [(String, String)],
    /// The name of the field that holds the file.
    pub(super) name: &'a str,
    /// What the file is called. Without a name, services take it for a text field.
    pub(super) filename: &'a str,
    pub(super) file: &'a [u8],
}

impl FormData<'_> {
    /// The body, and its media type with the boundary.
    pub(super) fn encode(&self) -> (Bytes, String) {
        let boundary = self.boundary();
        let texts: usize = self.fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        let mut body = Vec::with_capacity(self.file.len() + texts + 160 * (self.fields.len() + 2));
        for (name, value) in self.fields {
            let head = format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"\r\n\r\n",
                escaped(name)
            );
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(value.as_bytes());
            body.extend_from_slice(b"\r\n");
        }
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"; filename=\"{}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n",
            escaped(self.name),
            escaped(self.filename)
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(self.file);
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        (body.into(), format!("multipart/form-data; boundary={boundary}"))
    }

    /// A boundary that is made from the content and does not occur in it.
    fn boundary(&self) -> String {
        let mut hash = digest::Context::new(&digest::SHA256);
        for (name, value) in self.fields {
            for text in [name, value] {
                hash.update(&text.len().to_be_bytes());
                hash.update(text.as_bytes());
            }
        }
        hash.update(self.file);
        let hash = hash.finish();
        self.first_absent(|round: u64| {
            let mut again = digest::Context::new(&digest::SHA256);
            again.update(hash.as_ref());
            again.update(&round.to_be_bytes());
            let hex: Vec<String> =
                again.finish().as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
            format!("mailferry-{}", hex.concat())
        })
    }

    /// The first of the candidates that occurs nowhere. They must go on differing.
    fn first_absent(&self, candidate: impl Fn(u64) -> String) -> String {
        let occurs = |boundary: &str| {
            let finder = Finder::new(boundary);
            let found = |bytes: &[u8]| finder.find(bytes).is_some();
            found(self.file)
                || self
                    .fields
                    .iter()
                    .any(|(name, value)| found(name.as_bytes()) || found(value.as_bytes()))
        };
        let mut round = 0;
        loop {
            let boundary = candidate(round);
            if !occurs(&boundary) {
                return boundary;
            }
            // Content of some length holds so many candidates and no more.
            round += 1;
        }
    }
}

/// A name between quotes, as browsers write it (HTML, "multipart form data").
fn escaped(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form<'a>(fields: &'a [(String, String)], file: &'a [u8]) -> FormData<'a> {
        FormData { fields, name: "message", filename: "message.mime", file }
    }

    fn field(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn fields_and_file_stand_between_boundaries() {
        let fields = [field("to", "a@x.org"), field("v:a\"b\r\n", "한국\r\nx")];
        let (body, content_type) = form(&fields, b"\0\xff\r\n--").encode();
        let boundary = content_type.strip_prefix("multipart/form-data; boundary=").unwrap();
        let expected = [
            format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"to\"\r\n\r\na@x.org\r\n"
            ),
            format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"v:a%22b%0D%0A\"\r\n\r\n한국\r\nx\r\n"
            ),
            format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"message\"; filename=\"message.mime\"\r\n\
                 Content-Type: application/octet-stream\r\n\r\n"
            ),
        ];
        let mut expected = expected.concat().into_bytes();
        expected.extend_from_slice(b"\0\xff\r\n--");
        expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        assert_eq!(body, expected);
        // RFC 2046 §5.1.1.
        assert!(boundary.len() <= 70);
    }

    #[test]
    fn the_same_content_has_the_same_boundary_and_other_content_another() {
        let fields = [field("to", "a@x.org")];
        assert_eq!(form(&fields, b"x").encode(), form(&fields, b"x").encode());
        let boundary = |form: FormData<'_>| form.boundary();
        assert_ne!(boundary(form(&fields, b"x")), boundary(form(&fields, b"y")));
        assert_ne!(boundary(form(&fields, b"x")), boundary(form(&[field("to", "a@x.or")], b"gx")));
    }

    #[test]
    fn a_boundary_that_occurs_in_the_content_is_not_taken() {
        let candidate = |round: u64| format!("b{round}");
        assert_eq!(form(&[], b"plain").first_absent(candidate), "b0");
        assert_eq!(form(&[], b"x\r\n--b0 b1\r\n").first_absent(candidate), "b2");
        assert_eq!(form(&[field("to", "b0")], b"b1").first_absent(candidate), "b2");
        assert_eq!(form(&[field("b0", "")], b"").first_absent(candidate), "b1");
    }
}
