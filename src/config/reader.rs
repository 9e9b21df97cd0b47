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
/// The longest list of tables. Far above what one server needs, and loads in a moment.
const ITEMS_MAX: usize = 1_000;

/// One value of the effective configuration, as it is shown to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The dotted path; items of lists are numbered from 0: `smtp.users[0].password`.
    pub key: String,
    /// The value as TOML; a secret as `"***"`.
    pub value: String,
    /// Who set it.
    pub layer: Layer,
    /// Where it stands: `mailferry.toml line 3`, `RESEND_API_KEY`, `default`.
    pub origin: String,
    /// Whether it is a secret that stands in a file of its own.
    pub own_file: bool,
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
    /// All values of `figment`, which would copy them for every look.
    values: Value,
    pub(super) errors: Vec<ConfigError>,
    pub(super) warnings: Vec<String>,
    pub(super) effective: Vec<Effective>,
}

impl Reader {
    pub(super) fn new(figment: Figment, errors: Vec<ConfigError>, warnings: Vec<String>) -> Self {
        let values = figment.find_value("").unwrap_or_else(|_| Value::from(Dict::new()));
        Self { figment, values, errors, warnings, effective: Vec::new() }
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
            own_file: self.file_of(path).is_some(),
        });
        value
    }

    fn read<T: Setting>(&self, path: &str) -> Result<T, String> {
        let Some(value) = self.find(path) else {
            return Ok(default(path));
        };
        match self.file_of(path) {
            Some(file) => T::from_value(&Value::from(read_secret(file)?)),
            None => T::from_value(value),
        }
    }

    /// The path of the file that holds the value of a secret.
    fn file_of(&self, path: &str) -> Option<&str> {
        let secret = schema::key_of(path).is_some_and(|key| key.secret);
        Leaf::is_file_reference(self.find(path)?).filter(|_| secret)
    }

    fn find(&self, path: &str) -> Option<&Value> {
        let mut value = &self.values;
        for part in schema::parts(path) {
            value = value.as_dict()?.get(&part)?;
        }
        Some(value)
    }

    /// Where the value of a key stands.
    pub(super) fn origin(&self, path: &str) -> Origin {
        let metadata = self.find(path).and_then(|value| self.figment.get_metadata(value.tag()));
        match metadata {
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
        self.find("providers").and_then(Value::as_dict).cloned().unwrap_or_default()
    }

    /// The items of a list of tables, each by its path. A variable may have skipped a number, which is a fault.
    pub(super) fn items(&mut self, list: &str) -> Vec<String> {
        let table = self.find(list).and_then(Value::as_dict);
        let mut numbers: Vec<usize> =
            table.into_iter().flat_map(Dict::keys).filter_map(|key| schema::index(key)).collect();
        numbers.sort_unstable();
        if let Some((gap, number)) = numbers.iter().enumerate().find(|(at, number)| at != *number) {
            self.fault(
                &format!("{list}[{number}]"),
                format!("there is no {list}[{gap}] before it; number them 0, 1, 2 without gaps"),
            );
        }
        if numbers.len() > ITEMS_MAX {
            self.fault(
                &format!("{list}[{ITEMS_MAX}]"),
                format!("is one too many: {ITEMS_MAX} are allowed"),
            );
            numbers.truncate(ITEMS_MAX);
        }
        numbers.into_iter().map(|number| format!("{list}[{number}]")).collect()
    }

    /// Records what is wrong with a key.
    pub(super) fn fault(&mut self, path: &str, message: impl Into<String>) {
        let origin = self.origin(path);
        let origin = if origin.layer == Layer::Default { String::new() } else { origin.text };
        self.errors.push(ConfigError { key: path.to_owned(), origin, message: message.into() });
    }

    /// The same for a key that is missing in a table: it is the table that stands somewhere.
    pub(super) fn fault_in(&mut self, table: &str, path: &str, message: impl Into<String>) {
        if self.is_set(path) {
            return self.fault(path, message);
        }
        let (key, origin) = (path.to_owned(), self.origin(table).text);
        self.errors.push(ConfigError { key, origin, message: message.into() });
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
        if plain(value) != plain(&file::parse_default(key.default)) {
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
            let key = &shown.key;
            // What is inside an item of a list has a dotted name there.
            let item = key.find("].").and_then(|at| Some((key.get(..=at)?, key.get(at + 2..)?)));
            let (table, name) = item.or(key.rsplit_once('.')).unwrap_or(("", key));
            (table, format!("{name} = {}", shown.value), shown)
        })
        .collect();
    let width = lines.iter().map(|(_, line, _)| line.chars().count()).filter(|w| *w <= 48).max();
    let width = width.unwrap_or(0);
    for (its_table, line, shown) in &lines {
        if *its_table != table {
            let gap = if text.is_empty() { "" } else { "\n" };
            match its_table.split_once('[') {
                Some((list, _number)) => text.push_str(&format!("{gap}[[{list}]]\n")),
                None => text.push_str(&format!("{gap}[{its_table}]\n")),
            }
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
