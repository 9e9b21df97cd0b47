//! Names that somebody has to spell: what to say about one that there is not.

/// That nothing of this kind has this name, with the one that was probably meant and with all that there are.
pub fn unknown_name(kind: &str, name: &str, known: &[&str]) -> String {
    /// A name from outside may be of any length.
    const SHOWN_MAX: usize = 100;

    let shown: String = name.chars().take(SHOWN_MAX).collect();
    if known.is_empty() {
        return format!("there is no {kind} {shown:?}; none is configured");
    }
    let meant =
        nearest(&shown, known).map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
    let separator = if meant.is_empty() { ";" } else { "" };
    format!("there is no {kind} {shown:?}{meant}{separator} configured: {}", known.join(", "))
}

/// The known name that looks most like this one, when one looks alike at all.
pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = name.to_lowercase();
    let near = (name.chars().count() / 3).max(1);
    known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(&name, known), *known))
        .filter(|(distance, _)| *distance <= near)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_answered_with_what_was_meant_and_what_there_is() {
        let known = ["resend", "ses", "eu-backup"];
        for (name, words) in [
            (
                "resent",
                "no provider \"resent\"; did you mean resend? configured: resend, ses, eu-backup",
            ),
            ("SES", "did you mean ses?"),
            ("eubackup", "did you mean eu-backup?"),
            ("postmark", "no provider \"postmark\"; configured: resend, ses, eu-backup"),
            ("", "no provider \"\"; configured"),
        ] {
            let said = unknown_name("provider", name, &known);
            assert!(said.contains(words), "{said}");
        }
        assert!(unknown_name("provider", "ses", &[]).ends_with("none is configured"));
        assert!(unknown_name("provider", &"x".repeat(9000), &known).len() < 200);
    }
}
