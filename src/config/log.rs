//! `[log]`: what is said, and how.

use tracing_subscriber::EnvFilter;

use super::reader::Reader;
use super::value::{Setting, choice, quote, toml_text};

/// Form and level of the log.
#[derive(Clone, Debug)]
pub struct LogConfig {
    pub format: LogFormat,
    /// A `tracing` filter such as `info` or `mailferry=debug`; `RUST_LOG` has already won here.
    pub level: String,
    /// Whether message-event lines carry the subject.
    pub subject: bool,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON elsewhere.
    #[default]
    Auto,
    Pretty,
    Json,
}

choice!(LogFormat, "one of auto, pretty, json",
    "auto" => Self::Auto, "pretty" => Self::Pretty, "json" => Self::Json);

/// A text that `tracing` takes as a filter.
struct Filter(String);

impl Setting for Filter {
    const EXPECTED: &'static str = "a level (error, warn, info, debug, trace) or a filter such as \"info,mailferry::smtp=debug\"";

    fn parse(text: &str) -> Option<Self> {
        Self::from_text(text).ok()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let text = text.trim();
        // A lone word that is no level would be taken as the name of a module, and silence everything else.
        let word = !text.contains(['=', ',', ':', '[']) && text != "mailferry";
        let level = text.parse::<tracing_subscriber::filter::LevelFilter>().is_ok();
        if text.is_empty() || (word && !level) || EnvFilter::try_new(text).is_err() {
            return Err(format!("{} is not {}", quote(text), Self::EXPECTED));
        }
        Ok(Self(text.to_owned()))
    }

    fn show(&self) -> String {
        toml_text(&self.0)
    }
}

impl LogConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let format = reader.get("log.format");
        let level: Filter = reader.get("log.level");
        let subject = reader.get("log.subject");
        Self { format, level: level.0, subject }
    }
}
