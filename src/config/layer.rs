//! Single values on their way into the merge, each with the place it came from.

use std::collections::BTreeMap;

use figment::value::{Dict, Map, Tag, Value};
use figment::{Metadata, Profile, Provider};

use super::error::ConfigError;
use super::schema::{self, LISTS};

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

    /// Whether this is a secret that is in a file.
    fn names_file(&self) -> bool {
        let key = schema::key_of(&schema::spell(&self.path));
        key.is_some_and(|key| key.secret) && Self::is_file_reference(&self.value).is_some()
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

    /// A list of tables is one value: where a later layer has one, that of an earlier layer does not count at all.
    ///
    /// Mixed item by item, a user of the one could end up with the rights of a user of the other.
    pub(super) fn settle_lists(&mut self) {
        for list in LISTS {
            let prefix = schema::parts(list);
            let is_inside = |leaf: &Leaf| leaf.path.starts_with(&prefix);
            let Some(last) =
                self.leaves.iter().filter(|leaf| is_inside(leaf)).max_by_key(|leaf| leaf.layer)
            else {
                continue;
            };
            let (layer, winner) = (last.layer, last.origin.clone());
            let mut idle: Vec<String> = Vec::new();
            self.leaves.retain(|leaf| {
                let stays = !is_inside(leaf) || leaf.layer == layer;
                if !stays && leaf.path.len() == prefix.len() + 1 {
                    idle.push(leaf.origin.clone());
                }
                stays
            });
            if !idle.is_empty() {
                self.warnings.push(format!(
                    "{list}: what {} says is not used: the environment has a list of its own ({winner}), which \
                     replaces it as a whole",
                    idle.join(" and ")
                ));
            }
        }
    }

    /// A secret that one layer gives both itself and as a file: which of them is meant, only its owner knows.
    pub(super) fn refuse_double_secrets(&mut self) {
        // `api_key = ""` beside `api_key_file` is the example's line left in place.
        let files: Vec<(Layer, Vec<String>)> = self
            .leaves
            .iter()
            .filter(|leaf| leaf.names_file())
            .map(|leaf| (leaf.layer, leaf.path.clone()))
            .collect();
        self.leaves.retain(|leaf| {
            leaf.value.as_str() != Some("")
                || !files.iter().any(|(layer, path)| *layer == leaf.layer && *path == leaf.path)
        });

        let mut seen: BTreeMap<(Layer, &[String]), (&Leaf, bool)> = BTreeMap::new();
        let mut doubles = Vec::new();
        for leaf in &self.leaves {
            let is_file = leaf.names_file();
            match seen.insert((leaf.layer, &leaf.path), (leaf, is_file)) {
                Some((other, other_is_file)) if other_is_file != is_file => {
                    doubles.push((
                        schema::spell(&leaf.path),
                        other.origin.clone(),
                        leaf.origin.clone(),
                    ));
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
