//! `[log]`: what is said, and how.

/// Form and level of the log.
#[derive(Clone, Debug)]
pub struct LogConfig {
    pub format: LogFormat,
    /// A `tracing` filter such as `info` or `mailferry=debug`; `RUST_LOG` wins.
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
