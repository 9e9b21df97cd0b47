//! The query of a list of messages, read strictly: a misspelt parameter must not show the wrong messages.

use url::form_urlencoded;

use super::error::Problem;
use crate::queue::Filter;

/// Messages of one page, unless the query says otherwise; and the most it may ask for.
pub(super) const LIMIT_DEFAULT: usize = 50;
pub(super) const LIMIT_MAX: usize = 500;

/// The longest search text and provider name, characters.
const TEXT_MAX: usize = 200;

/// Reads `state`, `provider`, `q`, `before` and `limit`. An empty value counts as unset: forms send them so. Blanks around
/// what a person types do no harm.
pub(super) fn parse(query: &str) -> Result<Filter, Problem> {
    let mut filter = Filter { limit: LIMIT_DEFAULT, ..Filter::default() };
    let mut seen: Vec<String> = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if seen.iter().any(|earlier| *earlier == name) {
            return Err(invalid(format!("the parameter {name:?} is given twice")));
        }
        let value = &*value;
        match &*name {
            "provider" | "q" if value.trim().is_empty() => {}
            "state" | "before" | "limit" if value.is_empty() => {}
            "state" => {
                let state = value.parse().map_err(|error| invalid(format!("state: {error}")))?;
                filter.state = Some(state);
            }
            "provider" => filter.provider = Some(short("provider", value.trim())?),
            "q" => filter.text = Some(short("q", value.trim())?),
            "before" => {
                let cursor = value.parse().map_err(|_| {
                    invalid("before: not a cursor; take the \"next\" of an earlier answer")
                })?;
                filter.before = Some(cursor);
            }
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                filter.limit = limit.ok_or_else(|| {
                    invalid(format!("limit: {value:?} is not a number from 1 to {LIMIT_MAX}"))
                })?;
            }
            unknown => {
                let unknown: String = unknown.chars().take(TEXT_MAX).collect();
                return Err(invalid(format!(
                    "there is no parameter {unknown:?}; there are state, provider, q, before and limit"
                )));
            }
        }
        seen.push(name.into_owned());
    }
    Ok(filter)
}

fn short(name: &str, value: &str) -> Result<String, Problem> {
    if value.chars().count() > TEXT_MAX {
        return Err(invalid(format!("{name}: longer than {TEXT_MAX} characters")));
    }
    Ok(value.to_owned())
}

fn invalid(message: impl Into<String>) -> Problem {
    Problem::bad_input("invalid_query", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::State;

    #[test]
    fn a_query_becomes_a_filter() {
        let id = "019a7f00-0000-7000-8000-000000000000";
        let query = format!("state=failed&provider=resend&q=Ada+%EA%B0%80&before={id}&limit=500");
        let filter = parse(&query).unwrap();
        assert_eq!(filter.state, Some(State::Failed));
        assert_eq!(filter.provider.as_deref(), Some("resend"));
        assert_eq!(filter.text.as_deref(), Some("Ada 가"));
        assert_eq!(filter.before.map(|id| id.to_string()).as_deref(), Some(id));
        assert_eq!(filter.limit, 500);
    }

    #[test]
    fn empty_values_count_as_unset() {
        let filter = parse("state=&q=+&before=&limit=&provider=").unwrap();
        assert_eq!((filter.state, filter.text, filter.before), (None, None, None));
        assert_eq!(filter.limit, LIMIT_DEFAULT);
    }

    #[test]
    fn a_wrong_parameter_is_named_with_what_is_possible() {
        let long = format!("q={}", "a".repeat(201));
        for (query, words) in [
            ("state=sent", &["state", "queued, sending, delivered, failed or cancelled"][..]),
            ("limit=0", &["limit", "1 to 500"]),
            ("limit=501", &["limit", "1 to 500"]),
            ("limit=ten", &["limit", "\"ten\""]),
            ("before=yesterday", &["before", "next"]),
            ("before=%C2%85", &["before", "next"]),
            ("status=failed", &["status", "state, provider, q, before and limit"]),
            ("q=a&q=b", &["q", "twice"]),
            (&long, &["q", "200"]),
        ] {
            let problem = parse(query).unwrap_err();
            for word in words {
                assert!(problem.message.contains(word), "{query}: {}", problem.message);
            }
        }
    }
}
