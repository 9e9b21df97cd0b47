//! A text as a page.
//!
//! Brevo makes an HTML mail of a message that has a text only, and drops the text (field reports of 2026). With a page
//! beside it the text stays as it is.

/// What may follow an address in a text without being a part of it.
const AFTER_ADDRESS: [char; 11] = ['.', ',', ';', ':', '!', '?', ')', ']', '}', '\'', '*'];

/// The text with its lines and blanks, and its web addresses as links.
pub(super) fn of_text(text: &str) -> String {
    let mut page = String::with_capacity(text.len() + text.len() / 4 + 128);
    page.push_str("<!DOCTYPE html>\n<html><body>\n");
    for line in text.trim_end().lines() {
        add_line(&mut page, line);
        page.push_str("<br>\n");
    }
    page.push_str("</body></html>\n");
    page
}

fn add_line(page: &mut String, line: &str) {
    // A blank is lost at the beginning of a line and after another one, unless it is a hard one.
    let mut after_blank = true;
    for piece in line.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end_matches(char::is_whitespace);
        if !word.is_empty() {
            add_word(page, word);
            after_blank = false;
        }
        for blank in piece.get(word.len()..).unwrap_or_default().chars() {
            match blank {
                '\t' => page.push_str("&nbsp;&nbsp;&nbsp; "),
                ' ' if after_blank => page.push_str("&nbsp;"),
                // Others mean what they do in HTML.
                other => page.push(if other.is_control() { ' ' } else { other }),
            }
            after_blank = true;
        }
    }
}

/// A word, which may have an address in it: `(https://example.org).`
fn add_word(page: &mut String, word: &str) {
    let starts = ["https://", "http://"].map(|scheme| word.find(scheme));
    let Some((before, rest)) = starts.into_iter().flatten().min().map(|at| word.split_at(at))
    else {
        return add_escaped(page, word);
    };
    let end = rest.find(['<', '>', '"']).unwrap_or(rest.len());
    let (inside, beyond) = rest.split_at(end);
    let address = inside.trim_end_matches(AFTER_ADDRESS);
    add_escaped(page, before);
    page.push_str("<a href=\"");
    add_escaped(page, address);
    page.push_str("\">");
    add_escaped(page, address);
    page.push_str("</a>");
    add_escaped(page, inside.strip_prefix(address).unwrap_or_default());
    add_escaped(page, beyond);
}

fn add_escaped(page: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => page.push_str("&amp;"),
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '"' => page.push_str("&quot;"),
            c if c.is_control() => page.push(' '),
            c => page.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> String {
        let page = of_text(text);
        let body = page.strip_prefix("<!DOCTYPE html>\n<html><body>\n").unwrap();
        body.strip_suffix("</body></html>\n").unwrap().to_owned()
    }

    #[test]
    fn lines_and_blanks_stay_where_they_are() {
        assert_eq!(body("a\r\n\r\n  b  c\n"), "a<br>\n<br>\n&nbsp;&nbsp;b &nbsp;c<br>\n");
        assert_eq!(body("a\tb"), "a&nbsp;&nbsp;&nbsp; b<br>\n");
    }

    #[test]
    fn nothing_in_a_text_is_markup() {
        assert_eq!(
            body("<script>&\"x\"\u{0}</script>"),
            "&lt;script&gt;&amp;&quot;x&quot; &lt;/script&gt;<br>\n"
        );
        let sly = body("https://x.org/\"onclick=\"x");
        assert_eq!(sly, "<a href=\"https://x.org/\">https://x.org/</a>&quot;onclick=&quot;x<br>\n");
    }

    #[test]
    fn addresses_can_be_clicked() {
        assert_eq!(
            body("see (https://x.org/a?b=1&c=2)."),
            "see (<a href=\"https://x.org/a?b=1&amp;c=2\">https://x.org/a?b=1&amp;c=2</a>).<br>\n"
        );
        assert_eq!(
            body("<http://x.org>"),
            "&lt;<a href=\"http://x.org\">http://x.org</a>&gt;<br>\n"
        );
        assert_eq!(body("ftp://x.org 한글"), "ftp://x.org 한글<br>\n");
    }
}
