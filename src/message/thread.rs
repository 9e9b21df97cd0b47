//! Keeping a conversation together where a service writes its own Message-ID.
//!
//! The app's id becomes the last of References: replies repeat it there, and later mail of the app that refers to it
//! meets the same id, so mail programs and the app itself find the thread.

use super::{Email, Protection};

impl Email {
    /// References with the app's own Message-ID behind the others; `None` when it has none that can be read, or it is
    /// there already.
    ///
    /// Without References the ids of In-Reply-To begin the list (RFC 5322 §3.6.4): programs that find References do not
    /// look at that field any more.
    pub(crate) fn references_with_own_id(&self) -> Option<String> {
        let own = ids(self.header("Message-ID")?).next()?;
        let references: Vec<&str> = match self.header("References") {
            Some(known) if ids(known).next().is_some() => ids(known).collect(),
            Some(_) | None => self.header("In-Reply-To").map(ids).into_iter().flatten().collect(),
        };
        if references.contains(&own) {
            return None;
        }
        Some(references.into_iter().chain([own]).collect::<Vec<_>>().join(" "))
    }

    /// Whether a signature forbids to touch the header for that.
    pub(crate) fn is_signed_or_encrypted(&self) -> bool {
        self.protection != Protection::None || self.dkim.is_some()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let field = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        field.map(|(_, value)| value.as_str())
    }
}

/// The ids in a field, with their brackets.
fn ids(value: &str) -> impl Iterator<Item = &str> {
    let mut rest = value;
    std::iter::from_fn(move || {
        loop {
            let (_, after) = rest.split_at_checked(rest.find('<')?)?;
            let (id, tail) = after.split_at_checked(after.find('>')? + 1)?;
            rest = tail;
            let graphic = id.bytes().all(|byte| byte.is_ascii_graphic() || !byte.is_ascii());
            if id.len() > 2 && graphic {
                return Some(id);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references(headers: &[(&str, &str)]) -> Option<String> {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Email { headers: headers.collect(), ..Email::default() }.references_with_own_id()
    }

    #[test]
    fn the_own_id_becomes_the_last() {
        let own = ("Message-Id", "<own@x>");
        for (others, expected) in [
            (&[][..], Some("<own@x>")),
            (&[("references", "<a@x>\t<b@x>")], Some("<a@x> <b@x> <own@x>")),
            (&[("In-Reply-To", "<b@x>")], Some("<b@x> <own@x>")),
            (&[("In-Reply-To", "<b@x>"), ("References", "<a@x>")], Some("<a@x> <own@x>")),
            (&[("In-Reply-To", "your mail of <Monday >"), ("References", "?")], Some("<own@x>")),
            (&[("References", "<own@x> <b@x>")], None),
        ] {
            let all: Vec<_> = others.iter().copied().chain([own]).collect();
            assert_eq!(references(&all).as_deref(), expected, "{others:?}");
        }
        assert_eq!(references(&[("References", "<a@x>")]), None);
        assert_eq!(references(&[("Message-ID", "own@x")]), None);
    }
}
