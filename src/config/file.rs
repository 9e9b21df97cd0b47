//! The TOML file, taken apart into single values that know their line.

use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Tag, Value};
use toml_edit::{ImDocument, Item, TableLike};

use super::layer::{Gathered, Layer, Leaf, Stranger};
use super::schema::{self, Place};

/// Where a file is looked for when none is named.
pub const DEFAULT_FILES: [&str; 2] = ["mailferry.toml", "/etc/mailferry/mailferry.toml"];

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads `file`, or the first of `candidates` that exists; returns which one it was.
pub(super) fn gather(
    file: Option<&Path>,
    candidates: &[PathBuf],
    gathered: &mut Gathered,
) -> Option<PathBuf> {
    // A candidate that cannot be looked at (no permission) is reported by reading it, not passed over.
    let present = |path: &&PathBuf| path.try_exists().unwrap_or(true);
    let path = file.map(Path::to_owned).or_else(|| candidates.iter().find(present).cloned())?;
    match read(&path) {
        Ok(text) => take_apart(&path.display().to_string(), &text, gathered),
        Err(error) => gathered.fault("", &path.display().to_string(), error),
    }
    Some(path)
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    file.take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err("is larger than 1 MiB; is it the right file?".to_owned());
    }
    Ok(text)
}

/// Sorts what the text says into values, strangers and errors. `name` is what messages call the file.
pub(super) fn take_apart(name: &str, text: &str, gathered: &mut Gathered) {
    match ImDocument::parse(text) {
        Ok(document) => {
            let source = Source { name, text };
            source.walk(document.as_table(), &mut Vec::new(), gathered);
        }
        Err(error) => {
            // The error's own Display quotes the line, and the line may hold a secret.
            let line = error.span().map_or(1, |span| line_of(text, &span));
            let message = error.message().replace('\n', ", ");
            gathered.fault("", &format!("{name} line {line}"), format!("not TOML: {message}"));
        }
    }
}

struct Source<'a> {
    name: &'a str,
    text: &'a str,
}

impl Source<'_> {
    fn walk(&self, table: &dyn TableLike, path: &mut Vec<String>, gathered: &mut Gathered) {
        for (name, item) in table.iter() {
            let span = table.get_key_value(name).and_then(|(key, item)| key.span().or(item.span()));
            let origin = self.place(span);
            path.push(name.to_owned());
            self.visit(item, path, &origin, gathered);
            path.pop();
        }
    }

    fn visit(&self, item: &Item, path: &mut Vec<String>, origin: &str, gathered: &mut Gathered) {
        if let [section, name] = path.as_slice()
            && section == "providers"
            && item.as_table_like().is_some()
            && let Err(message) = provider_name(name)
        {
            gathered.fault(&path.join("."), origin, message);
            return;
        }
        let mut stranger = |section| {
            let (path, origin) = (path.clone(), origin.to_owned());
            gathered.strangers.push(Stranger { path, origin, variable: false, section });
        };
        match (schema::locate(path), item.as_table_like()) {
            (Place::List, _) => self.list(item, path, origin, gathered),
            // Refused as a whole where it is read.
            (Place::Value(key), _) if key.later.is_some() => {
                self.leaf(path, convert(item), origin, gathered);
            }
            (Place::Section, Some(table)) => {
                // An empty [providers.NAME] is a provider as well.
                if path.len() == 2 {
                    gathered.leaves.push(Leaf {
                        path: path.clone(),
                        value: Value::from(Dict::new()),
                        layer: Layer::File,
                        origin: origin.to_owned(),
                    });
                }
                self.walk(table, path, gathered);
            }
            (Place::Section, None) | (Place::Value(_) | Place::File(_), Some(_)) => stranger(true),
            (Place::Unknown, _) => stranger(false),
            (Place::Value(key), None) if key.secret => match item.as_str() {
                Some(text) => self.leaf(path, Value::from(text), origin, gathered),
                None => gathered.fault(&schema::spell(path), origin, needs_text(item)),
            },
            (Place::Value(_), None) => {
                self.leaf(path, convert(item), origin, gathered);
            }
            (Place::File(key), None) => match item.as_str() {
                // Empty is unset here as well.
                Some("") => {}
                Some(file) => {
                    let mut target = path.clone();
                    target.pop();
                    target.push(key.name().to_owned());
                    self.leaf(&target, Leaf::file_reference(file), origin, gathered);
                }
                None => gathered.fault(&schema::spell(path), origin, needs_text(item)),
            },
        }
    }

    /// Takes `[[path]]` apart, in one of its two spellings.
    fn list(&self, item: &Item, path: &mut Vec<String>, origin: &str, gathered: &mut Gathered) {
        let name = schema::spell(path);
        match item {
            Item::ArrayOfTables(tables) => {
                for (number, table) in tables.iter().enumerate() {
                    self.item(number, Some(table), table.span(), path, gathered);
                }
            }
            Item::Value(toml_edit::Value::Array(items)) => {
                for (number, item) in items.iter().enumerate() {
                    let table = item.as_inline_table().map(|table| table as &dyn TableLike);
                    self.item(number, table, item.span(), path, gathered);
                }
            }
            Item::None | Item::Value(_) | Item::Table(_) => gathered.fault(
                &name,
                origin,
                format!("is a list of tables: begin each with [[{name}]], in double brackets"),
            ),
        }
    }

    fn item(
        &self,
        number: usize,
        table: Option<&dyn TableLike>,
        span: Option<Range<usize>>,
        path: &mut Vec<String>,
        gathered: &mut Gathered,
    ) {
        let origin = self.place(span);
        path.push(number.to_string());
        match table {
            Some(table) => {
                self.walk(table, path, gathered);
                // An empty table is an item as well. The last to speak of it says where it stands.
                self.leaf(path, Value::from(Dict::new()), &origin, gathered);
            }
            None => gathered.fault(
                &schema::spell(path),
                &origin,
                "is not a table such as { name = \"…\" }",
            ),
        }
        path.pop();
    }

    fn place(&self, span: Option<Range<usize>>) -> String {
        match span {
            Some(span) => format!("{} line {}", self.name, line_of(self.text, &span)),
            None => self.name.to_owned(),
        }
    }

    fn leaf(&self, path: &[String], value: Value, origin: &str, gathered: &mut Gathered) {
        let (path, origin) = (path.to_owned(), origin.to_owned());
        gathered.leaves.push(Leaf { path, value, layer: Layer::File, origin });
    }
}

/// Names of providers stand in logs, metrics and variables, so they are kept plain.
pub(super) fn provider_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if !name.is_empty() && name.len() <= 32 && name.chars().all(plain) && !name.contains("__") {
        return Ok(());
    }
    Err("a provider's name is made of up to 32 lower-case letters, digits, - and single _"
        .to_owned())
}

fn needs_text(item: &Item) -> String {
    format!("is {}; write it as text, in quotes", item.type_name())
}

/// The line, from 1, in which `span` starts.
fn line_of(text: &str, span: &Range<usize>) -> usize {
    let before = text.as_bytes().get(..span.start).unwrap_or_default();
    1 + memchr::memchr_iter(b'\n', before).count()
}

fn convert(item: &Item) -> Value {
    match item {
        Item::None => Value::from(""),
        Item::Value(value) => convert_value(value),
        Item::Table(table) => convert_table(table),
        Item::ArrayOfTables(tables) => {
            Value::Array(Tag::Default, tables.iter().map(|table| convert_table(table)).collect())
        }
    }
}

fn convert_value(value: &toml_edit::Value) -> Value {
    match value {
        toml_edit::Value::String(text) => Value::from(text.value().as_str()),
        toml_edit::Value::Integer(number) => Value::from(*number.value()),
        toml_edit::Value::Float(number) => Value::from(*number.value()),
        toml_edit::Value::Boolean(flag) => Value::from(*flag.value()),
        // No key takes a date; as text it fails where its key is read, with what is expected there.
        toml_edit::Value::Datetime(date) => Value::from(date.value().to_string()),
        toml_edit::Value::Array(items) => {
            Value::Array(Tag::Default, items.iter().map(convert_value).collect())
        }
        toml_edit::Value::InlineTable(table) => convert_table(table),
    }
}

fn convert_table(table: &dyn TableLike) -> Value {
    let dict: Dict = table.iter().map(|(name, item)| (name.to_owned(), convert(item))).collect();
    Value::Dict(Tag::Default, dict)
}

/// The value of a default, which is written as TOML.
pub(super) fn parse_default(toml: &str) -> Value {
    match toml.parse::<toml_edit::Value>() {
        Ok(value) => convert_value(&value),
        // A test loads all defaults.
        Err(_) => Value::from(""),
    }
}
