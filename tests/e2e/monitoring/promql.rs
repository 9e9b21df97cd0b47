//! What an expression for Prometheus asks for. promtool says whether it can be read at all; this says by which names.

/// One figure that is asked for, with its conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selector {
    pub(super) name: String,
    pub(super) conditions: Vec<Condition>,
}

/// A condition on a label: `=`, `=~`, `!=` or `!~`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) label: String,
    pub(super) operator: String,
    pub(super) value: String,
}

/// The figures of an expression, and the labels that it groups or joins by.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    pub(super) selectors: Vec<Selector>,
    pub(super) labels: Vec<String>,
}

/// Words behind which a list of labels stands.
const LABELLED: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const OPERATORS: [&str; 5] = ["and", "or", "unless", "bool", "offset"];

impl Asked {
    /// Reads an expression that promtool has found to be one.
    pub(super) fn of(expression: &str) -> Self {
        let mut asked = Self::default();
        let mut rest = expression;
        while let Some(first) = rest.chars().next() {
            if first == '[' {
                rest = rest.split_once(']').unwrap().1;
            } else if first.is_ascii_digit() {
                rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.');
            } else if first.is_ascii_alphabetic() || first == '_' {
                let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
                let (word, behind) = rest.split_at(end);
                rest = asked.word(word, behind.trim_start());
            } else {
                rest = rest.strip_prefix(first).unwrap();
            }
        }
        asked
    }

    /// Takes a word and what belongs to it; what is left.
    fn word<'a>(&mut self, word: &str, behind: &'a str) -> &'a str {
        if LABELLED.contains(&word) {
            let (list, rest) = behind.trim_start_matches('(').split_once(')').unwrap();
            let labels = list.split(',').map(str::trim).filter(|label| !label.is_empty());
            self.labels.extend(labels.map(str::to_owned));
            return rest;
        }
        if OPERATORS.contains(&word) || behind.starts_with('(') {
            return behind;
        }
        // An aggregation whose labels come first.
        let next = behind.split(|c: char| !is_word(c)).next().unwrap();
        if ["by", "without"].contains(&next) {
            return behind;
        }
        let (conditions, rest) = conditions(behind);
        self.selectors.push(Selector { name: word.to_owned(), conditions });
        rest
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

fn conditions(text: &str) -> (Vec<Condition>, &str) {
    let mut found = Vec::new();
    let Some(mut rest) = text.strip_prefix('{') else { return (found, text) };
    loop {
        rest = rest.trim_start_matches([',', ' ', '\n']);
        if let Some(rest) = rest.strip_prefix('}') {
            return (found, rest);
        }
        let (head, behind) = rest.split_once('"').unwrap();
        let (value, behind) = behind.split_once('"').unwrap();
        let head = head.trim();
        let end = head.find(|c: char| !is_word(c)).unwrap();
        let (label, operator) = head.split_at(end);
        found.push(Condition {
            label: label.to_owned(),
            operator: operator.trim().to_owned(),
            value: value.to_owned(),
        });
        rest = behind;
    }
}

#[test]
fn figures_conditions_and_labels_are_found() {
    let asked = Asked::of(
        r#"sum by (le, provider) (rate(a_total{x="1", y=~"a|b"}[5m])) / on (job) b > 0.5
           and histogram_quantile(0.95, sum(rate(c_bucket[1h])) by (le)) unless absent(up{})"#,
    );
    let names: Vec<&str> = asked.selectors.iter().map(|own| own.name.as_str()).collect();
    assert_eq!(names, ["a_total", "b", "c_bucket", "up"]);
    let conditions: Vec<[&str; 3]> = asked.selectors[0]
        .conditions
        .iter()
        .map(|own| [own.label.as_str(), &own.operator, &own.value])
        .collect();
    assert_eq!(conditions, [["x", "=", "1"], ["y", "=~", "a|b"]]);
    assert_eq!(asked.labels, ["le", "provider", "job", "le"]);
}
