//! Keeps the shape of the code: which station may import which, and how long a file may be.
//!
//! The table is the design (ARCHITECTURE.md): a new arrow is a decision, and belongs into a commit of its own.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What the assembly and the commands put together.
const STATIONS: &[&str] = &[
    "smtp",
    "message",
    "queue",
    "delivery",
    "provider",
    "http",
    "seal",
    "telemetry",
    "shutdown",
    "systemd",
];

/// Who may import whom. Everybody may use what is in [`COMMON`] as well.
const ALLOWED: [(&str, &[&str]); 15] = [
    ("main", &["cli", "app"]),
    ("lib", &[]),
    ("app", STATIONS),
    ("cli", STATIONS),
    ("smtp", &["message", "queue"]),
    ("queue", &["message"]),
    // Who seals and opens: delivery, between the door and the queue and between the queue and a provider.
    ("delivery", &["queue", "provider", "message", "seal"]),
    ("provider", &["message"]),
    ("http", &["queue", "delivery", "message"]),
    ("seal", &["message"]),
    ("message", &[]),
    ("config", &["message"]),
    ("telemetry", &[]),
    ("shutdown", &[]),
    ("systemd", &[]),
];

/// What any module may use. The whole [`Config`](WHOLE_CONFIG) is not for everybody.
const COMMON: [&str; 7] =
    ["clock", "secret", "signature", "stranger", "whole_file", "config", "metrics"];

/// The type that holds all sections: stations take their own section only.
const WHOLE_CONFIG: &str = "Config";

/// Who puts the stations together, and may hold the whole configuration.
const ASSEMBLERS: [&str; 5] = ["main", "app", "cli", "config", "telemetry"];

/// A file with more lines has more than one duty.
const LINES_MAX: usize = 500;

#[test]
fn stations_import_only_what_the_table_allows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = sources(&root);
    assert!(
        files.len() > 20,
        "only {} files found: the test looks in the wrong place",
        files.len()
    );
    let tests_only = test_files(&files);
    let mut found = Vec::new();
    for file in files.iter().filter(|file| !tests_only.contains(*file)) {
        let name = file.strip_prefix(&root).unwrap();
        let source = fs::read_to_string(file).unwrap();
        found.extend(violations(name, &source));
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn no_file_is_longer_than_one_duty() {
    let long: Vec<String> = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
        .into_iter()
        .map(|file| (fs::read_to_string(&file).unwrap().lines().count(), file))
        .filter(|(lines, _)| *lines > LINES_MAX)
        .map(|(lines, file)| format!("{} has {lines} lines", file.display()))
        .collect();
    assert!(long.is_empty(), "\n{}", long.join("\n"));
}

#[test]
fn a_forbidden_import_is_found() {
    for (file, source) in [
        ("message/email.rs", "use crate::queue::Store;"),
        ("queue/sqlite.rs", "use crate::{clock::Timestamp, delivery::Delivery};"),
        ("smtp/session.rs", "fn f() { crate::http::page::render(); }"),
        ("provider/resend.rs", "use super::super::delivery::Lane;"),
        ("provider/mod.rs", "use super::delivery::Lane;"),
        ("http/api/list.rs", "use crate :: provider :: Provider;"),
        ("delivery/mod.rs", "use crate::config::{Config, DeliveryConfig};"),
        ("delivery/lane.rs", "fn f(config: &crate::config::Config) {}"),
        ("clock.rs", "use crate::queue::Store;"),
        ("bin/tool.rs", "use crate::queue::Store;"),
        ("main.rs", "use mailferry::queue::Store;"),
        ("smtp/reply.rs", "fn a() -> &'static str { \"\\\"\" }\nuse crate::http::X; // '"),
        ("queue/mod.rs", "#[cfg(test)]\nmod tests { fn f() {} }\nuse crate::smtp::X;"),
        ("queue/mod.rs", "struct A {\n#[cfg(test)]\na: bool,\n}\nuse crate::smtp::X;"),
    ] {
        assert_eq!(violations(Path::new(file), source).len(), 1, "{file}: {source}");
    }
}

#[test]
fn what_is_no_import_or_is_allowed_is_let_through() {
    for (file, source) in [
        ("message/email.rs", "// use crate::queue::Store;"),
        ("message/email.rs", "/* use crate::queue::Store; /* */ crate::http::X */"),
        ("message/email.rs", "/// See [`crate::queue`].\nconst A: &str = \"crate::queue::Store\";"),
        ("message/email.rs", "const A: &str = r#\"\"crate::queue::Store\"\"#;"),
        ("message/email.rs", "const A: [char; 2] = ['\"', '\\''];\nuse crate::clock::Clock;"),
        ("message/email.rs", "#[cfg(test)]\nmod tests { use crate::queue::Store; fn f() { {} } }"),
        ("message/email.rs", "#[cfg(test)]\nuse crate::queue::Store;"),
        ("message/email.rs", "pub(crate) struct A;\nuse super::Loss;\nuse std::fmt;"),
        ("queue/mod.rs", "pub(in crate::queue) fn f() {}"),
        ("queue/sqlite/write.rs", "use super::super::Store;"),
        (
            "http/mod.rs",
            "use crate::{delivery::Delivery, queue::{Store, State}, config::HttpConfig};",
        ),
        ("cli/serve.rs", "use crate::config::Config;"),
        ("main.rs", "fn main() { mailferry::cli::run(); }"),
    ] {
        assert_eq!(violations(Path::new(file), source), Vec::<String>::new(), "{file}: {source}");
    }
}

/// What a file imports against the table, in words.
fn violations(file: &Path, source: &str) -> Vec<String> {
    let modules = module_path(file);
    let station = modules.first().map_or("lib", String::as_str);
    let code = without_tests(&without_comments_and_texts(source));
    let mut found = Vec::new();
    for path in paths(&words(&code), modules.len()) {
        let target = path[0].as_str();
        // Types and functions at the root would be a second way in.
        let allowed = target == station
            || COMMON.contains(&target)
            || ALLOWED.iter().any(|(name, targets)| *name == station && targets.contains(&target));
        if !allowed {
            found.push(format!("src/{}: {station} must not import {target}", file.display()));
        }
        let whole = target == "config" && path.get(1).is_some_and(|name| name == WHOLE_CONFIG);
        if whole && !ASSEMBLERS.contains(&station) {
            found.push(format!(
                "src/{}: {station} takes the whole configuration instead of its section",
                file.display()
            ));
        }
    }
    found
}

/// The modules that a file of `src` stands in: `queue/sqlite/mod.rs` is `queue`, `sqlite`.
fn module_path(file: &Path) -> Vec<String> {
    let file = file.with_extension("");
    let mut names: Vec<String> =
        file.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    if names.last().is_some_and(|name| name == "mod" || (name == "lib" && names.len() == 1)) {
        names.pop();
    }
    names
}

/// Every path from the root of the crate in this code, as its segments; groups are unfolded.
///
/// `depth` is how many `super` lead from the file to the root.
fn paths(words: &[String], depth: usize) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let after_path = at > 0 && words[at - 1] == "::";
        match word.as_str() {
            "crate" | "mailferry" if !after_path => unfold(&words[at + 1..], &[], &mut found),
            "super" if !after_path => {
                let mut rest = at;
                let mut ups = 0;
                while words.get(rest).is_some_and(|word| word == "super") {
                    ups += 1;
                    rest += 2;
                }
                if ups == depth {
                    unfold(&words[rest - 1..], &[], &mut found);
                }
            }
            _ => {}
        }
    }
    found
}

/// Reads `::a::{b, c::d}` from the beginning of `words`; returns how many words that took.
fn unfold(words: &[String], prefix: &[String], found: &mut Vec<Vec<String>>) {
    let mut path = prefix.to_vec();
    let mut at = 0;
    while words.get(at).is_some_and(|word| word == "::") {
        match words.get(at + 1).map(String::as_str) {
            Some("{") => {
                let mut depth = 1;
                let mut begin = at + 2;
                let mut end = begin;
                while depth > 0 && end < words.len() {
                    match words[end].as_str() {
                        "{" => depth += 1,
                        "}" => depth -= 1,
                        _ => {}
                    }
                    if depth == 0 || (depth == 1 && words[end] == ",") {
                        if begin < end {
                            let mut item = vec!["::".to_owned()];
                            item.extend_from_slice(&words[begin..end]);
                            unfold(&item, &path, found);
                        }
                        begin = end + 1;
                    }
                    end += 1;
                }
                return;
            }
            Some(name) => path.push(name.to_owned()),
            None => return,
        }
        at += 2;
    }
    if !path.is_empty() {
        found.push(path);
    }
}

/// Identifiers, `::` and every other sign by itself.
fn words(code: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_alphanumeric() || c == '_' {
            let mut word = String::from(c);
            while let Some(next) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                word.push(next);
            }
            words.push(word);
        } else if c == ':' && chars.next_if_eq(&':').is_some() {
            words.push("::".to_owned());
        } else if !c.is_whitespace() {
            words.push(c.to_string());
        }
    }
    words
}

/// The code with comments, strings and characters taken out.
fn without_comments_and_texts(source: &str) -> String {
    let bytes = source.as_bytes();
    let starts = |at: usize, text: &str| bytes[at..].starts_with(text.as_bytes());
    let mut code = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let in_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        if starts(at, "//") {
            while at < bytes.len() && bytes[at] != b'\n' {
                at += 1;
            }
        } else if starts(at, "/*") {
            let mut depth = 0;
            loop {
                match (starts(at, "/*"), starts(at, "*/")) {
                    (true, _) => (depth, at) = (depth + 1, at + 2),
                    (_, true) => (depth, at) = (depth - 1, at + 2),
                    (false, false) => at += 1,
                }
                if depth == 0 || at >= bytes.len() {
                    break;
                }
            }
        } else if !in_word && (starts(at, "r\"") || starts(at, "r#\"") || starts(at, "r##\"")) {
            let hashes = bytes[at + 1..].iter().take_while(|byte| **byte == b'#').count();
            let end = format!("\"{}", "#".repeat(hashes));
            at += 2 + hashes;
            while at < bytes.len() && !starts(at, &end) {
                at += 1;
            }
            at += end.len();
        } else if bytes[at] == b'"' {
            at = end_of_quoted(bytes, at, b'"');
        } else if bytes[at] == b'\'' && source.get(at + 1..).is_some_and(is_character) {
            at = end_of_quoted(bytes, at, b'\'');
        } else {
            code.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(code).unwrap()
}

/// A quote begins a character, not a lifetime, when one more quote follows the character.
fn is_character(rest: &str) -> bool {
    let mut chars = rest.chars();
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

fn end_of_quoted(bytes: &[u8], begin: usize, quote: u8) -> usize {
    let mut at = begin + 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// The code with every item under `#[cfg(test)]` taken out.
fn without_tests(code: &str) -> String {
    let mut rest = code;
    let mut kept = String::new();
    while let Some((before, item)) = rest.split_once("#[cfg(test)]") {
        kept += before;
        let mut depth = 0_usize;
        let end = item.char_indices().find_map(|(at, c)| {
            match c {
                '{' => depth += 1,
                // The item was a field, and here ends what it is a field of.
                '}' if depth == 0 => return Some(at),
                '}' => depth -= 1,
                _ => {}
            }
            (depth == 0 && (c == ';' || c == '}')).then_some(at + 1)
        });
        rest = item.split_at(end.unwrap_or(item.len())).1;
    }
    kept + rest
}

/// Files that a `#[cfg(test)] mod name;` names, with everything below them.
fn test_files(files: &[PathBuf]) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for file in files {
        let source = without_comments_and_texts(&fs::read_to_string(file).unwrap());
        for item in source.split("#[cfg(test)]").skip(1) {
            let words =
                words(item.lines().find(|line| !line.trim().is_empty()).unwrap_or_default());
            let Some(at) = words.iter().position(|word| word == "mod") else { continue };
            if words.get(at + 2).is_none_or(|word| word != ";") {
                continue;
            }
            let stem = file.file_stem().unwrap().to_string_lossy();
            let folder = file.parent().unwrap();
            let folder = match &*stem {
                "mod" | "lib" | "main" => folder.to_path_buf(),
                stem => folder.join(stem),
            };
            let module = folder.join(&words[at + 1]);
            let below = files
                .iter()
                .filter(|file| file.starts_with(&module) || **file == module.with_extension("rs"));
            found.extend(below.cloned());
        }
    }
    found
}

/// Every Rust file below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
