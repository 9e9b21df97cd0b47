//! The configuration as an operator meets it: files, variables, and what is said when they are wrong.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on stops here, in its helpers as well"
)]

mod access;
mod example;
mod faults;
mod layers;
mod lists;
mod providers;
mod routes;
mod several;
mod shipped;
#[path = "../support/skip.rs"]
mod skip;
mod smarthost;

use std::fs;
use std::path::PathBuf;

use mailferry::config::{Config, ConfigErrors, Effective, LoadOptions, Loaded, Purpose};
use tempfile::TempDir;

/// A file and an environment to be loaded.
struct Setup {
    dir: TempDir,
    file: Option<PathBuf>,
    environment: Vec<(String, String)>,
}

impl Setup {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), file: None, environment: Vec::new() }
    }

    fn toml(mut self, text: &str) -> Self {
        let path = self.dir.path().join("mailferry.toml");
        fs::write(&path, text).unwrap();
        self.file = Some(path);
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn secret_file(&self, name: &str, content: &str) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    fn load_for(&self, purpose: Purpose) -> Result<Loaded, ConfigErrors> {
        Config::load(&LoadOptions {
            file: self.file.clone(),
            candidates: Vec::new(),
            environment: self.environment.clone(),
            purpose,
        })
    }

    fn load(&self) -> Loaded {
        self.load_for(Purpose::Serve).unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn errors(&self) -> Vec<String> {
        let errors = self.load_for(Purpose::Serve).expect_err("it should be refused").errors;
        let dir = format!("{}/", self.dir.path().display());
        errors.iter().map(|error| error.to_string().replace(&dir, "")).collect()
    }
}

fn with_key() -> Setup {
    Setup::new().env("RESEND_API_KEY", "re_123")
}

fn shown<'a>(loaded: &'a Loaded, key: &str) -> &'a Effective {
    loaded.effective.iter().find(|shown| shown.key == key).expect("the key is shown")
}
