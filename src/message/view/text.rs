//! Plain text as HTML: escaped, links that can be followed, quoted lines marked.

/// How much of a text is shown, octets.
const SHOWN_MAX: usize = 512 * 1024;
/// The longest address that becomes a link, octets.
const LINK_MAX: usize = 2048;
/// How many links are made.
const LINKS_MAX: usize = 5000;

/// A text, ready to be put into a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShownText {
    /// HTML: text, `a`, and `span class="mail-quote"` around lines that are quoted. Line ends are kept.
    pub html: String,
    /// The text is longer than is shown.
    pub cut: bool,
}

/// The text, ready to be put into a page.
pub(super) fn shown(text: &str) -> ShownText {
    let start = text.get(..text.floor_char_boundary(SHOWN_MAX)).unwrap_or(text);
    let mut html = String::with_capacity(start.len() + start.len() / 4);
    let mut quoted = false;
    let mut links = 0;
    for line in start.split_inclusive('\n') {
        let quote = line.trim_start_matches(' ').starts_with('>');
        if quote != quoted {
            html.push_str(if quote { "<span class=\"mail-quote\">" } else { "</span>" });
            quoted = quote;
        }
        push_line(line, &mut links, &mut html);
    }
    if quoted {
        html.push_str("</span>");
    }
    ShownText { html, cut: start.len() < text.len() }
}

fn push_line(line: &str, links: &mut usize, out: &mut String) {
    let mut rest = line;
    while *links < LINKS_MAX
        && let Some((before, address)) = next_link(rest)
    {
        *links += 1;
        escape(before, out);
        out.push_str("<a href=\"");
        escape(address, out);
        out.push_str("\" target=\"_blank\" rel=\"noopener noreferrer nofollow\">");
        escape(address, out);
        out.push_str("</a>");
        rest = rest.get(before.len() + address.len()..).unwrap_or_default();
    }
    escape(rest, out);
}

/// What stands before the next address in `text`, and the address. It reads every octet a fixed number of times, whatever
/// the text: where a run of characters ends that an address may have is found once for all addresses in it, and a run is
/// looked at for its last marks only where it is short, and where it then becomes a link.
fn next_link(text: &str) -> Option<(&str, &str)> {
    let mut from = 0;
    let mut run_end = 0;
    while let Some(at) = text.get(from..)?.find("://") {
        let mark = from + at;
        from = mark + 3;
        let before = text.get(..mark)?;
        let start = ["https", "http"].into_iter().find_map(|scheme| {
            let start = mark.checked_sub(scheme.len())?;
            before.get(start..)?.eq_ignore_ascii_case(scheme).then_some(start)
        });
        let Some(start) = start else { continue };
        let apart = text.get(..start)?.chars().next_back().is_none_or(|c| !c.is_alphanumeric());
        if !apart {
            continue;
        }
        if run_end <= from {
            let tail = text.get(from..)?;
            run_end = from + tail.find(ends).unwrap_or(tail.len());
        }
        // Cut in the middle it would lead to somewhere else.
        if run_end - start > LINK_MAX {
            continue;
        }
        let length = address_length(text.get(from..run_end)?);
        if length > 0 {
            return Some((text.get(..start)?, text.get(start..from + length)?));
        }
    }
    None
}

/// Characters that no address has.
fn ends(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '"' | '`') || turns(c)
}

/// How much of a run behind `://` belongs to the address: marks at its end belong to the sentence.
fn address_length(run: &str) -> usize {
    let count = |mark: char| run.matches(mark).count();
    // What opens is never taken off.
    let (opened, square, curly) = (count('('), run.contains('['), run.contains('{'));
    let mut closed = count(')');
    let mut length = run.len();
    for c in run.chars().rev() {
        match c {
            '.' | ',' | ';' | ':' | '!' | '?' | '\'' | '*' | '_' | '。' | '、' => {}
            ')' if closed > opened => closed -= 1,
            ']' if !square => {}
            '}' if !curly => {}
            _other => break,
        }
        length -= c.len_utf8();
    }
    length
}

/// Characters that turn the direction of writing, with which an address can be made to look like another.
pub(super) fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text within HTML, also within a value in double quotes. Control characters are shown as what they are: nothing.
pub(super) fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(text: &str) -> String {
        shown(text).html
    }

    #[test]
    fn text_stays_text() {
        assert_eq!(
            html("<b onclick=\"x\">&amp;</b>\n\0'"),
            "&lt;b onclick=&quot;x&quot;&gt;&amp;amp;&lt;/b&gt;\n\u{fffd}&#39;"
        );
    }

    #[test]
    fn addresses_become_links_without_the_sentence_around_them() {
        for (text, address) in [
            ("see https://x.example/a.", "https://x.example/a"),
            ("(http://x.example/a_(b)), and", "http://x.example/a_(b)"),
            ("<HTTPS://x.example/?a=1&b=2>", "HTTPS://x.example/?a=1&amp;b=2"),
            ("한국 http://한국.example/가。", "http://한국.example/가"),
            ("http://x.example/\u{202e}gpj.exe", "http://x.example/"),
            ("http://x.example/'onmouseover='a", "http://x.example/&#39;onmouseover=&#39;a"),
        ] {
            let link = format!("<a href=\"{address}\" target=\"_blank\"");
            assert!(html(text).contains(&link), "{address} is missing in {}", html(text));
        }
        for text in
            ["javascript://x.example/%0aalert(1)", "xhttp://x", "http://", "http:// a", "://"]
        {
            assert!(!html(text).contains("<a "), "{}", html(text));
        }
    }

    #[test]
    fn an_address_that_is_too_long_is_no_link_and_one_behind_it_is() {
        let path = "a".repeat(LINK_MAX);
        assert!(!html(&format!("http://{path}")).contains("<a "));
        assert!(!html(&format!("http://{}.{path}", "x".repeat(9))).contains("<a "));
        let both = html(&format!("http://{path}/http://x.example/b_(c)))]."));
        assert!(both.contains("/<a href=\"http://x.example/b_(c)\" "), "{both}");
        let longest = html(&format!("http://{}", "a".repeat(LINK_MAX - 7)));
        assert!(longest.contains("<a "), "{longest}");
    }

    /// Read again for every mark or every address in it, each of these would take minutes to hours.
    #[test]
    fn a_text_is_read_once_whatever_is_in_it() {
        let whole = |start: &str, piece: &str| {
            let text = start.to_owned() + &piece.repeat(SHOWN_MAX / piece.len());
            html(&text).matches("<a ").count()
        };
        for mark in [")", "]", "}", ".", "。", "()", ")("] {
            assert!(whole("http://x", mark) <= 1, "{mark}");
        }
        for piece in ["http://", "http://)", "xhttp://", "https://a", "://", "(http://a"] {
            assert!(whole("", piece) <= 1, "{piece}");
        }
        assert_eq!(whole("", "http://) "), 0);
    }

    #[test]
    fn quoted_lines_are_marked() {
        assert_eq!(
            html("Hi\n> a\n>> b\nbye"),
            "Hi\n<span class=\"mail-quote\">&gt; a\n&gt;&gt; b\n</span>bye"
        );
        assert_eq!(html("> a"), "<span class=\"mail-quote\">&gt; a</span>");
    }

    #[test]
    fn a_text_without_end_is_cut() {
        let shown = shown(&"가".repeat(SHOWN_MAX));
        assert!(shown.cut && shown.html.len() <= SHOWN_MAX);
        let links = html(&"http://x.example/ ".repeat(20_000));
        assert_eq!(links.matches("<a ").count(), LINKS_MAX);
    }
}
