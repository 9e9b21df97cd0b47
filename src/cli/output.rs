//! The two ways out: results on standard output, everything else on standard error.

use std::io::Write;

/// Prints a result. A reader that has gone (`| head`) is no failure of ours.
pub fn out(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Writes a result that is no text. A reader that has gone is no failure here either; anything else is.
pub fn out_raw(bytes: &[u8]) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Prints what is not a result.
pub fn complain(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// A text from outside for a terminal: on one line, without control characters, cut to `width` characters.
pub(super) fn tidy(text: &str, width: usize) -> String {
    let mut tidy: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(width.saturating_add(1))
        .collect();
    if let Some((last, _)) = tidy.char_indices().nth(width) {
        let end = tidy.char_indices().nth(width.saturating_sub(1)).map_or(last, |(at, _)| at);
        tidy.truncate(end);
        tidy.push('…');
    }
    tidy
}

/// An error with the name of the provider before it, unless it begins with that already.
pub(super) fn said_by(provider: Option<&str>, error: &str) -> String {
    match provider {
        Some(name) if !error.starts_with(name) => format!("{name}: {error}"),
        Some(_) | None => error.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_from_outside_cannot_steer_the_terminal() {
        assert_eq!(tidy("a\u{1b}[2Jb\r\nc", 80), "a [2Jb  c");
        assert_eq!(tidy("가나다라", 3), "가나…");
        assert_eq!(tidy("가나다", 3), "가나다");
    }

    #[test]
    fn a_provider_is_named_once() {
        assert_eq!(said_by(Some("ses"), "no such user"), "ses: no such user");
        assert_eq!(said_by(Some("ses"), "ses: 403: denied"), "ses: 403: denied");
        assert_eq!(said_by(None, "no provider is configured"), "no provider is configured");
    }
}
