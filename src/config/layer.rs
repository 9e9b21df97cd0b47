//! Single values on their way into the merge, each with the place it came from.

use std::collections::BTreeMap;

use figment::value::{Dict, Map, Tag, Value};
use figment::{Metadata, Profile, Provider};

use super::error::ConfigError;

/// Who set a value; later wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// Nobody.
    Default,
    /// The configuration file.
    File,
    /// A variable that other programs know too, such as `RESEND_API_KEY`.
    WellKnown,
    /// A variable of ours, `MAILFERRY__…`.
    Own,
    /// `RUST_LOG`, which stands above ours, and what a command itself demands.
    Override,
}

impl Layer {
    /// The name under which it travels through the merge.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::WellKnown => "well-known",
            Self::Own => "own",
            Self::Override => "override",
        }
    }

    pub(super) fn from_name(name: &str) -> Self {
        [Self::File, Self::WellKnown, Self::Own, Self::Override]
            .into_iter()
            .find(|layer| layer.name() == name)
            .unwrap_or(Self::Default)
    }
}

/// One value. Each is a figment provider of its own, so that figment remembers for every value where it stands.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub(super) path: Vec<String>,
    pub(super) value: Value,
    pub(super) layer: Layer,
    pub(super) origin: String,
}

impl Leaf {
    /// A secret that is in a file. It travels as a list of one path, because a secret itself is never a list.
    pub(super) fn file_reference(path: &str) -> Value {
        Value::from(vec![path])
    }

    pub(super) fn is_file_reference(value: &Value) -> Option<&str> {
        match value {
            Value::Array(_, items) => items.first().and_then(Value::as_str),
            Value::String(..)
            | Value::Char(..)
            | Value::Bool(..)
            | Value::Num(..)
            | Value::Empty(..)
            | Value::Dict(..) => None,
        }
    }
}

impl Provider for Leaf {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone()).source(self.layer.name())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut value = self.value.clone();
        for part in self.path.iter().rev() {
            value = Value::Dict(Tag::Default, Dict::from([(part.clone(), value)]));
        }
        let dict = value.into_dict().unwrap_or_default();
        Ok(Profile::Default.collect(dict))
    }
}

/// A key that nobody knows. Judged after the merge, when it is clear what kind of provider it belongs to.
#[derive(Clone, Debug)]
pub(super) struct Stranger {
    pub(super) path: Vec<String>,
    pub(super) origin: String,
    /// Given as a variable, so the hint is spelled as one.
    pub(super) variable: bool,
    /// A section where a value is given, or the other way round.
    pub(super) section: bool,
}

/// What file and environment say, before it is merged.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) leaves: Vec<Leaf>,
    pub(super) strangers: Vec<Stranger>,
    pub(super) errors: Vec<ConfigError>,
    pub(super) warnings: Vec<String>,
}

impl Gathered {
    pub(super) fn fault(&mut self, key: &str, origin: &str, message: impl Into<String>) {
        let (key, origin) = (key.to_owned(), origin.to_owned());
        self.errors.push(ConfigError { key, origin, message: message.into() });
    }

    /// A secret that one layer gives both itself and as a file: which of them is meant, only its owner knows.
    pub(super) fn refuse_double_secrets(&mut self) {
        let mut seen: BTreeMap<(Layer, &[String]), (&Leaf, bool)> = BTreeMap::new();
        let mut doubles = Vec::new();
        for leaf in &self.leaves {
            let is_file = super::schema::key_of(&leaf.path.join(".")).is_some_and(|key| key.secret)
                && Leaf::is_file_reference(&leaf.value).is_some();
            match seen.insert((leaf.layer, &leaf.path), (leaf, is_file)) {
                Some((other, other_is_file)) if other_is_file != is_file => {
                    doubles.push((leaf.path.join("."), other.origin.clone(), leaf.origin.clone()));
                }
                Some(_) | None => {}
            }
        }
        for (key, first, second) in doubles {
            let message = "is given both itself and as a file; keep one of them";
            self.fault(&key, &format!("{first} and {second}"), message);
        }
    }
}
