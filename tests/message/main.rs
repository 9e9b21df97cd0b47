//! The message station from the outside: mail of real programs in, the views that providers get out.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that fails is a test that fails")]

mod addressing;
mod alternatives;
mod binary;
mod bodies;
mod corpus;
mod draft;
mod hostile;
mod parts;
mod raw;
mod signed;

/// A message from a text with LF line ends.
fn mail(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

/// A message of the corpus.
fn corpus(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/mail/{name}.eml", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names of all messages of the corpus, sorted.
fn corpus_names() -> Vec<String> {
    let folder = format!("{}/tests/mail", env!("CARGO_MANIFEST_DIR"));
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".eml").map(str::to_owned))
        .collect();
    names.sort();
    names
}
