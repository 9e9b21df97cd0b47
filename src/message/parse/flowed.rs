//! `format=flowed` (RFC 3676): paragraphs that were cut into lines. An API has no place for the parameter, so the
//! lines are joined again.

/// Joins soft line ends. `delete` is `delsp=yes`: the blank at a soft line end is no part of the text (Chinese,
/// Japanese).
pub(super) fn joined(text: &str, delete: bool) -> String {
    let mut out = String::with_capacity(text.len());
    // The quote depth of the paragraph that is still open.
    let mut open: Option<usize> = None;
    for line in text.split_inclusive('\n') {
        let (content, end) = match line.strip_suffix('\n') {
            Some(content) => (content, "\n"),
            None => (line, ""),
        };
        let unquoted = content.trim_start_matches('>');
        let depth = content.len() - unquoted.len();
        // A blank was put before what would look like a quote or an mbox line.
        let unstuffed = unquoted.strip_prefix(' ').unwrap_or(unquoted);
        let signature = unstuffed == "-- ";

        match open {
            Some(opened) if opened == depth && !signature => {}
            Some(_) => {
                out.push('\n');
                quote(depth, &mut out);
            }
            None => quote(depth, &mut out),
        }
        let soft = unstuffed.ends_with(' ') && !signature && !end.is_empty();
        if soft {
            out.push_str(if delete { unstuffed.trim_end_matches(' ') } else { unstuffed });
            open = Some(depth);
        } else {
            out.push_str(unstuffed);
            out.push_str(end);
            open = None;
        }
    }
    if open.is_some() {
        out.push('\n');
    }
    out
}

fn quote(depth: usize, out: &mut String) {
    if depth > 0 {
        out.push_str(&">".repeat(depth));
        out.push(' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_line_ends_are_joined_within_one_quote_depth() {
        assert_eq!(joined("One \ntwo \nthree\nfour\n", false), "One two three\nfour\n");
        assert_eq!(joined("> a \n> b\n>> c \n> d\n", false), "> a b\n>> c \n> d\n");
        assert_eq!(joined("한국 \n어\n", true), "한국어\n");
        assert_eq!(joined("open \n", false), "open \n");
    }

    #[test]
    fn stuffing_goes_and_signatures_stay() {
        assert_eq!(joined(" From here\n  two\n-- \nAda\n", false), "From here\n two\n-- \nAda\n");
        assert_eq!(joined("bye \n-- \nAda", false), "bye \n-- \nAda");
    }
}
