//! Reads key by key from the merged layers, so that every fault is found and not only the first.

use std::io::Read;

use figment::Figment;
use figment::value::{Dict, Value};

use super::error::ConfigError;
use super::file;
use super::layer::{Layer, Leaf};
use super::schema::{self, Key};
use super::value::{Setting, quote, toml_text};

/// The largest file that is read as a secret.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// One value of the effective configuration, as it is shown to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The dotted path.
    pub key: String,
    /// The value as TOML; a secret as `"***"`.
    pub value: String,
    /// Who set it.
    pub layer: Layer,
    /// Where it stands: `mailferry.toml line 3`, `RESEND_API_KEY`, `default`.
    pub origin: String,
}

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) layer: Layer,
    pub(super) text: String,
}

#[derive(Debug)]
pub(super) struct Reader {
    figment: Figment,
    pub(super) errors: Vec<ConfigError>,
    pub(super) warnings: Vec<String>,
    pub(super) effective: Vec<Effective>,
}

impl Reader {
    pub(super) fn new(figment: Figment, errors: Vec<ConfigError>, warnings: Vec<String>) -> Self {
        Self { figment, errors, warnings, effective: Vec::new() }
    }

    /// The value of a key. A faulty one is recorded as an error, and the default stands in for it.
    pub(super) fn get<T: Setting>(&mut self, path: &str) -> T {
        let origin = self.origin(path);
        let value: T = match self.read(path) {
            Ok(value) => value,
            Err(message) => {
                self.fault(path, message);
                default(path)
            }
        };
        self.effective.push(Effective {
            key: path.to_owned(),
            value: value.show(),
            layer: origin.layer,
            origin: origin.text,
        });
        value
    }

    fn read<T: Setting>(&self, path: &str) -> Result<T, String> {
        let Some(value) = self.find(path) else {
            return Ok(default(path));
        };
        let secret = schema::key_of(path).is_some_and(|key| key.secret);
        match Leaf::is_file_reference(&value).filter(|_| secret) {
            Some(file) => T::from_value(&Value::from(read_secret(file)?)),
            None => T::from_value(&value),
        }
    }

    fn find(&self, path: &str) -> Option<Value> {
        self.figment.find_value(path).ok()
    }

    /// Where the value of a key stands.
    pub(super) fn origin(&self, path: &str) -> Origin {
        match self.figment.find_metadata(path) {
            Some(metadata) => {
                let layer = metadata.source.as_ref().and_then(|source| source.custom());
                let layer = layer.map_or(Layer::Default, Layer::from_name);
                Origin { layer, text: metadata.name.to_string() }
            }
            None => Origin { layer: Layer::Default, text: "default".to_owned() },
        }
    }

    /// Whether anybody has set the key.
    pub(super) fn is_set(&self, path: &str) -> bool {
        self.find(path).is_some()
    }

    /// The tables in `[providers]`, and what each contains.
    pub(super) fn provider_tables(&self) -> Dict {
        self.find("providers").and_then(Value::into_dict).unwrap_or_default()
    }

    /// Records what is wrong with a key.
    pub(super) fn fault(&mut self, path: &str, message: impl Into<String>) {
        let origin = self.origin(path);
        let origin = if origin.layer == Layer::Default { String::new() } else { origin.text };
        self.errors.push(ConfigError { key: path.to_owned(), origin, message: message.into() });
    }

    /// Whether something is known to be wrong with a key.
    pub(super) fn has_fault(&self, path: &str) -> bool {
        self.errors.iter().any(|error| error.key == path)
    }

    pub(super) fn warn(&mut self, message: impl Into<String>) {
        self.warnings.push(message.into());
    }

    /// Says that a value is not the one that was read but follows from others, or from the command.
    pub(super) fn show_instead(&mut self, path: &str, value: &impl Setting, origin: &str) {
        if let Some(shown) = self.effective.iter_mut().rfind(|shown| shown.key == path) {
            shown.value = value.show();
            shown.layer = Layer::Override;
            shown.origin = origin.to_owned();
        }
    }

    /// Shows the type of a provider that takes it from its name.
    pub(super) fn name_type(&mut self, path: &str, kind: &impl Setting) {
        if let Some(shown) = self.effective.iter_mut().rfind(|shown| shown.key == path) {
            shown.value = kind.show();
        }
    }

    /// Refuses a key of a later version unless it has its default.
    pub(super) fn refuse_later(&mut self, path: &str, key: &Key, instead: &str) {
        let Some(value) = self.find(path) else { return };
        if plain(&value) != plain(&file::parse_default(key.default)) {
            let default = key.default;
            self.fault(
                path,
                format!("is not in this version yet and must stay {default}; instead: {instead}"),
            );
        }
    }
}

/// The default of a key, as its type.
#[expect(clippy::expect_used, reason = "defaults are constants of the schema; a test reads each")]
fn default<T: Setting>(path: &str) -> T {
    let key = schema::key_of(path).expect("only keys of the schema are read");
    T::from_value(&file::parse_default(key.default)).expect("a default reads as its type")
}

/// The value without the differences between a file and a variable.
fn plain(value: &Value) -> String {
    match value {
        Value::String(_, text) if text.trim() == "[]" => String::new(),
        Value::String(_, text) => text.trim().to_lowercase(),
        Value::Char(_, c) => c.to_string(),
        Value::Bool(_, flag) => flag.to_string(),
        Value::Num(_, number) => number.to_i128().map_or_else(
            || number.to_u128().map_or_else(|| "a number".to_owned(), |n| n.to_string()),
            |n| n.to_string(),
        ),
        Value::Empty(..) => String::new(),
        Value::Dict(..) => "a table".to_owned(),
        Value::Array(_, items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
    }
}

/// Reads a secret from its file; the newline that editors and `echo` leave at the end is not part of it.
fn read_secret(path: &str) -> Result<String, String> {
    let unreadable =
        |error: std::io::Error| format!("the file {} cannot be read: {error}", quote(path));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err(format!("the file {} is too large for a secret", quote(path)));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| format!("the file {} is not valid UTF-8", quote(path)))?;
    let text = text.trim_end_matches(['\r', '\n']);
    // An empty token would open what it is meant to close.
    if text.is_empty() {
        return Err(format!("the file {} is empty", quote(path)));
    }
    Ok(text.to_owned())
}

/// The effective configuration as TOML, every value followed by where it comes from.
pub fn render(effective: &[Effective]) -> String {
    let mut text = String::new();
    let mut table = "";
    let lines: Vec<(&str, String, &Effective)> = effective
        .iter()
        .map(|shown| {
            let (table, name) = shown.key.rsplit_once('.').unwrap_or(("", &shown.key));
            (table, format!("{name} = {}", shown.value), shown)
        })
        .collect();
    let width = lines.iter().map(|(_, line, _)| line.chars().count()).filter(|w| *w <= 48).max();
    let width = width.unwrap_or(0);
    for (its_table, line, shown) in &lines {
        if *its_table != table {
            let gap = if text.is_empty() { "" } else { "\n" };
            text.push_str(&format!("{gap}[{its_table}]\n"));
            table = its_table;
        }
        text.push_str(&format!("{line:width$}  # {}\n", one_line(&shown.origin)));
    }
    text
}

/// A file name may contain a line break, a comment may not.
fn one_line(text: &str) -> String {
    let quoted = toml_text(text);
    quoted.trim_matches('"').to_owned()
}
