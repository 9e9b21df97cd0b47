//! The path between angle brackets of MAIL and RCPT (RFC 5321 §4.1.2).

/// A text that does not begin with a whole path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadPath {
    /// It does not begin with `<`, or the `>` is missing.
    Brackets,
    /// What stands between the brackets cannot be a path.
    Content,
}

/// Splits `<mailbox> rest` into the mailbox, its source route taken away, and the rest.
///
/// The mailbox is not checked further; it is empty for `<>`. Quoted local parts may contain brackets.
pub(super) fn split(text: &str) -> Result<(&str, &str), BadPath> {
    let inner = text.strip_prefix('<').ok_or(BadPath::Brackets)?;
    let end = closing_bracket(inner).ok_or(BadPath::Brackets)?;
    let (path, rest) = inner.split_at_checked(end).ok_or(BadPath::Brackets)?;
    let rest = rest.strip_prefix('>').ok_or(BadPath::Brackets)?;
    if !rest.is_empty() && !rest.starts_with(' ') {
        return Err(BadPath::Brackets);
    }
    Ok((without_route(path)?, rest))
}

/// Where the `>` stands that is not within quotes.
fn closing_bracket(inner: &str) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, octet) in inner.bytes().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(at),
            0..=255 => {}
        }
    }
    None
}

/// Takes `@one.example,@two.example:` away: it must be accepted and should be ignored (RFC 5321 §4.1.1.3).
fn without_route(path: &str) -> Result<&str, BadPath> {
    if !path.starts_with('@') {
        return Ok(path);
    }
    let (route, mailbox) = path.split_once(':').ok_or(BadPath::Content)?;
    let is_host = |hop: &str| {
        hop.strip_prefix('@').is_some_and(|host| {
            !host.is_empty() && host.chars().all(|c| c.is_alphanumeric() || "-._".contains(c))
        })
    };
    if mailbox.is_empty() || !route.split(',').all(is_host) {
        return Err(BadPath::Content);
    }
    Ok(mailbox)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_ends_at_the_bracket_outside_quotes() {
        assert_eq!(split("<ada@example.org>"), Ok(("ada@example.org", "")));
        assert_eq!(split("<> SIZE=1"), Ok(("", " SIZE=1")));
        assert_eq!(split(r#"<"a>b"@example.org> X"#), Ok((r#""a>b"@example.org"#, " X")));
        assert_eq!(split(r#"<"a\">b"@example.org>"#), Ok((r#""a\">b"@example.org"#, "")));
    }

    #[test]
    fn a_source_route_is_ignored() {
        assert_eq!(split("<@a,@b:user@c>"), Ok(("user@c", "")));
        assert_eq!(split("<@a.example:user@c>"), Ok(("user@c", "")));
    }

    #[test]
    fn half_a_path_is_none() {
        for text in ["", "ada@example.org", "<ada@example.org", "<\"ada@example.org>"] {
            assert_eq!(split(text), Err(BadPath::Brackets), "{text}");
        }
        assert_eq!(split("<a@b>SIZE=1"), Err(BadPath::Brackets));
        for text in ["<@a>", "<@a:>", "<@:a@b>", "<@a,b:a@b>", "<@a,:a@b>", "<@a b:a@b>"] {
            assert_eq!(split(text), Err(BadPath::Content), "{text}");
        }
    }
}
