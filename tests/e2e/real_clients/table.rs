//! The table in `docs/clients.md`: what the tests did, row by row.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::case::Manner;

/// The rows and their order.
pub(crate) const CLIENTS: [&str; 12] = [
    "Python smtplib",
    "nodemailer",
    "lettre (Rust)",
    "Jakarta Mail (Java)",
    "PHPMailer",
    "Ruby mail",
    "Perl Net::SMTP",
    "Postfix, as relayhost",
    "msmtp",
    "curl, a ready message",
    "curl, composing",
    "swaks",
];

const BEGIN: &str = "<!-- the table: written by the tests -->";
const END: &str = "<!-- end of the table -->";

/// Tests of one program run side by side; one at a time changes the file.
static FILE: Mutex<()> = Mutex::new(());

/// What was tried with one client.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) client: &'static str,
    /// Of the client on this machine: written, but not compared.
    version: String,
    cells: [String; Manner::ALL.len()],
    /// What went well beside the manners.
    pub(crate) also: Vec<String>,
}

impl Row {
    pub(crate) fn new(client: &'static str, version: &str) -> Self {
        assert!(CLIENTS.contains(&client), "{client} has no place in the table");
        let version = version.trim().replace(['|', '\n'], "/");
        Self { client, version, cells: Default::default(), also: Vec::new() }
    }

    pub(crate) fn set(&mut self, manner: Manner, cell: String) {
        let at = Manner::ALL.iter().position(|own| *own == manner).unwrap();
        self.cells[at] = cell;
    }

    /// The line of the table, with this version in it.
    fn render(&self, version: &str) -> String {
        let cells = self.cells.join(" | ");
        let also = self.also.join("; ");
        format!("| {} | {version} | {cells} | {also} |", self.client)
    }
}

/// Panics unless the docs say the same of this client. The version may differ; with `UPDATE=1` the row is written.
pub(crate) fn compare(row: &Row) {
    let _guard = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let path = path();
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, lines, after) = split(&page);
    let mut rows: Vec<String> = lines.lines().skip(2).map(str::to_owned).collect();
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        // Also gone: rows of clients that are no longer tried.
        rows.retain(|line| first_cell(line) != row.client && CLIENTS.contains(&first_cell(line)));
        rows.push(row.render(&row.version));
        rows.sort_by_key(|line| CLIENTS.iter().position(|client| *client == first_cell(line)));
        let page = format!("{before}{BEGIN}\n{}{}\n{END}{after}", head(), rows.join("\n"));
        std::fs::write(&path, page).unwrap();
        return;
    }
    let written = rows.into_iter().find(|line| first_cell(line) == row.client).unwrap_or_default();
    let version = written.split(" | ").nth(1).unwrap_or_default();
    assert_eq!(
        written,
        row.render(version),
        "docs/clients.md says something else than this run; UPDATE=1 writes the row"
    );
}

#[test]
fn the_table_in_the_docs_has_a_row_for_every_client() {
    let _guard = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let page = std::fs::read_to_string(path()).unwrap();
    let (_, lines, _) = split(&page);
    assert!(lines.starts_with(&head()), "{lines}");
    let clients: Vec<&str> = lines.lines().skip(2).map(first_cell).collect();
    assert_eq!(clients, CLIENTS);
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/clients.md")
}

/// The page around the table, and the table.
fn split(page: &str) -> (&str, &str, &str) {
    let (before, rest) = page.split_once(BEGIN).expect("the page has no mark before the table");
    let (table, after) = rest.split_once(END).expect("the page has no mark behind the table");
    (before, table.trim_start(), after)
}

fn head() -> String {
    let mut titles = "| client | tried |".to_owned();
    let mut line = "|---|---|".to_owned();
    for manner in Manner::ALL {
        // Writing to a String does not fail.
        let _ = write!(titles, " {} |", manner.title());
        line += "---|";
    }
    format!("{titles} also |\n{line}---|\n")
}

fn first_cell(line: &str) -> &str {
    line.trim_start_matches("| ").split(" | ").next().unwrap_or_default()
}
