//! What /metrics says, read strictly: whatever a scraper would stumble over is a panic.

use std::collections::{BTreeMap, BTreeSet};

/// One line of figures.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: f64,
}

/// The figures of one answer, in the older text format.
#[derive(Clone, Debug)]
pub(super) struct Figures(pub(super) Vec<Sample>);

/// What may stand behind the name of a histogram.
const HISTOGRAM: [&str; 3] = ["_bucket", "_sum", "_count"];

impl Figures {
    /// Reads the older text format. Every sample stands below the description of its family, and none stands twice.
    pub(super) fn read(text: &str) -> Self {
        let mut samples: Vec<Sample> = Vec::new();
        let (mut families, mut family, mut kind) = (BTreeSet::new(), "", "");
        assert!(text.ends_with('\n'), "the last line has no end");
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                family = help.split_once(' ').unwrap_or_else(|| panic!("no help: {line}")).0;
                assert!(families.insert(family), "described twice: {line}");
            } else if let Some(typed) = line.strip_prefix("# TYPE ") {
                let (name, own) = typed.split_once(' ').unwrap();
                assert_eq!(name, family, "the type stands behind the help: {line}");
                assert!(["counter", "gauge", "histogram"].contains(&own), "{line}");
                kind = own;
            } else {
                let sample = sample(line);
                let allowed = match kind {
                    "histogram" => HISTOGRAM
                        .iter()
                        .any(|ending| sample.name.strip_suffix(ending) == Some(family)),
                    _ => sample.name == family,
                };
                assert!(allowed, "{line} below {family}");
                assert!(kind != "counter" || sample.name.ends_with("_total"), "{line}");
                assert!(sample.value >= 0.0, "{line}");
                let twice = samples
                    .iter()
                    .any(|own| own.name == sample.name && own.labels == sample.labels);
                assert!(!twice, "stands twice: {line}");
                samples.push(sample);
            }
        }
        let figures = Self(samples);
        figures.check_histograms();
        figures
    }

    /// Buckets hold those below them, and the last one all.
    fn check_histograms(&self) {
        let mut below: BTreeMap<_, f64> = BTreeMap::new();
        for sample in &self.0 {
            let Some(name) = sample.name.strip_suffix("_bucket") else { continue };
            let mut labels = sample.labels.clone();
            let bound = labels.remove("le").unwrap();
            let before = below.insert((name.to_owned(), labels.clone()), sample.value);
            assert!(before.unwrap_or(0.0) <= sample.value, "{sample:?}");
            if bound == "+Inf" {
                let count = format!("{name}_count");
                assert_eq!(self.value(&count, &labels), Some(sample.value), "{sample:?}");
            }
        }
        assert!(!below.is_empty());
    }

    fn value(&self, name: &str, labels: &BTreeMap<String, String>) -> Option<f64> {
        let mut own = self.0.iter();
        Some(own.find(|sample| sample.name == name && sample.labels == *labels)?.value)
    }

    /// The value with these labels, and no others.
    pub(super) fn get(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let labels = labels.iter().map(own).collect();
        self.value(name, &labels).unwrap_or_else(|| panic!("no {name} with {labels:?}"))
    }

    /// The values that a label has; `None`: no figure of this name has it.
    pub(super) fn label(&self, name: &str, label: &str) -> Option<BTreeSet<&str>> {
        let own = self.0.iter().filter(|sample| sample.name == name);
        let values: BTreeSet<&str> =
            own.filter_map(|sample| Some(sample.labels.get(label)?.as_str())).collect();
        (!values.is_empty()).then_some(values)
    }

    /// Whether there is a figure of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|sample| sample.name == name)
    }
}

fn sample(line: &str) -> Sample {
    let name_end = line.find(['{', ' ']).unwrap_or_else(|| panic!("no value: {line}"));
    let (name, mut rest) = line.split_at(name_end);
    assert_name(name, line);
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, behind) = rest.split_once("=\"").unwrap();
            assert_name(label, line);
            let (value, behind) = quoted(behind, line);
            assert!(labels.insert(label.to_owned(), value).is_none(), "label twice: {line}");
            match behind.strip_prefix(',') {
                Some(next) => rest = next,
                None => {
                    rest = behind.strip_prefix('}').unwrap_or_else(|| panic!("no end: {line}"));
                    break;
                }
            }
        }
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("no value: {line}"));
    let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
    Sample { name: name.to_owned(), labels, value }
}

fn assert_name(name: &str, line: &str) {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    assert!(!name.is_empty() && name.chars().all(plain), "no name: {line}");
}

/// The value before the closing quote, and what is behind it.
fn quoted<'a>(text: &'a str, line: &str) -> (String, &'a str) {
    let mut value = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return (value, characters.as_str()),
            '\\' => match characters.next() {
                Some('n') => value.push('\n'),
                Some(escaped @ ('\\' | '"')) => value.push(escaped),
                _ => panic!("a bad escape: {line}"),
            },
            plain => value.push(plain),
        }
    }
    panic!("a value without an end: {line}")
}
