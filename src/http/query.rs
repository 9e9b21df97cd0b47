//! Queries read strictly: a misspelt or repeated parameter is told, and never passed over.

use url::form_urlencoded;

use super::error::Problem;

/// The longest name or value that is shown or taken, characters.
pub(super) const TEXT_MAX: usize = 200;

/// The parameters of a query that have a value; an empty value counts as unset: forms send them so.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query whose parameters are all among these.
    pub(super) fn read(query: Option<&str>, known: &[&str]) -> Result<Self, Problem> {
        let mut given: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if !known.contains(&&*name) {
                let unknown: String = name.chars().take(TEXT_MAX).collect();
                let known = listed(known);
                return Err(invalid(format!("there is no parameter {unknown:?}; {known}")));
            }
            if given.iter().any(|(earlier, _)| *earlier == name) {
                return Err(invalid(format!("the parameter {name:?} is given twice")));
            }
            given.push((name.into_owned(), value.into_owned()));
        }
        given.retain(|(_, value)| !value.is_empty());
        Ok(Self(given))
    }

    /// The value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// What a person has typed, which may not be long, without the blanks around it.
    pub(super) fn short(&self, name: &str) -> Result<Option<&str>, Problem> {
        match self.get(name).map(str::trim).filter(|value| !value.is_empty()) {
            Some(value) if value.chars().count() > TEXT_MAX => {
                Err(invalid(format!("{name}: longer than {TEXT_MAX} characters")))
            }
            value => Ok(value),
        }
    }

    /// A number from 1 to `max`.
    pub(super) fn limit(&self, name: &str, default: usize, max: usize) -> Result<usize, Problem> {
        let Some(value) = self.get(name) else { return Ok(default) };
        let number = value.parse().ok().filter(|number| (1..=max).contains(number));
        number.ok_or_else(|| {
            let shown: String = value.chars().take(TEXT_MAX).collect();
            invalid(format!("{name}: {shown:?} is not a number from 1 to {max}"))
        })
    }
}

/// 400 about a query.
pub(super) fn invalid(message: impl Into<String>) -> Problem {
    Problem::bad_input("invalid_query", message)
}

fn listed(known: &[&str]) -> String {
    match known {
        [] => "there are none here".to_owned(),
        [only] => format!("the only one is {only}"),
        [others @ .., last] => format!("there are {} and {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_or_twice_is_told() {
        for (query, words) in
            [("status=1", "there are q and limit"), ("q=1&q=2", "twice"), ("q=&q=2", "twice")]
        {
            let problem = Query::read(Some(query), &["q", "limit"]).unwrap_err();
            assert!(problem.message.contains(words), "{query}: {}", problem.message);
        }
        let problem = Query::read(Some("a=1"), &[]).unwrap_err();
        assert!(problem.message.contains("none"), "{}", problem.message);
    }

    #[test]
    fn empty_values_count_as_unset_and_numbers_have_bounds() {
        let query =
            Query::read(Some("q=&text=+a+&none=+&limit=9"), &["q", "text", "none", "limit"]);
        let query = query.unwrap();
        assert_eq!(query.get("q"), None);
        assert_eq!(query.short("text").unwrap(), Some("a"));
        assert_eq!(query.short("none").unwrap(), None);
        assert_eq!(query.limit("limit", 1, 9).unwrap(), 9);
        assert_eq!(query.limit("q", 5, 9).unwrap(), 5);
        assert!(query.limit("limit", 1, 8).is_err());
        assert!(query.limit("none", 1, 8).is_err());
    }
}
