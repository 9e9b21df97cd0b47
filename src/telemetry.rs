//! The log: one line per event on standard error, for people or for programs.
//!
//! The line format is our own because the busiest server writes thousands of lines a second: a line is put together in
//! one buffer and leaves in one write. Every value is cut at a limit and freed of control characters, so that
//! nothing that a client sends can fill the disk with one line or forge another.

use std::fmt::{self, Write as _};
use std::io::IsTerminal;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::clock::{Clock, SystemClock};
use crate::config::{LogConfig, LogFormat};

/// The longest value of one field, octets.
const VALUE_BYTES_MAX: usize = 4096;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `log.level` or `RUST_LOG` is not a filter.
    #[error("{0:?} is not a log filter such as \"info\" or \"info,mailferry::smtp=debug\"")]
    Filter(String),
    /// A log was started before.
    #[error("a log is running already")]
    Running,
}

/// Changes what the running log lets through.
#[derive(Clone, Debug)]
pub struct LogControl(reload::Handle<EnvFilter, Registry>);

impl LogControl {
    /// Takes another `log.level`. On an error the one before stays.
    pub fn set_level(&self, level: &str) -> Result<(), TelemetryError> {
        // It fails where there is no log any more, and then nobody misses it.
        filter(level).map(|filter| self.0.reload(filter).unwrap_or_default())
    }
}

fn filter(level: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::try_new(level).map_err(|_| TelemetryError::Filter(level.to_owned()))
}

/// Starts the log of this process. `RUST_LOG` is part of `log.level`: loading the configuration has put it there.
pub fn init(log: &LogConfig) -> Result<LogControl, TelemetryError> {
    let terminal = std::io::stderr().is_terminal();
    let color = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (subscriber, control) = changeable(log, terminal, color, std::io::stderr)?;
    subscriber.try_init().map_err(|_| TelemetryError::Running)?;
    Ok(control)
}

/// The same for any writer, without starting it.
pub fn subscriber<W>(
    log: &LogConfig,
    terminal: bool,
    color: bool,
    writer: W,
) -> Result<impl Subscriber + Send + Sync, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    Ok(changeable(log, terminal, color, writer)?.0)
}

fn changeable<W>(
    log: &LogConfig,
    terminal: bool,
    color: bool,
    writer: W,
) -> Result<(impl Subscriber + Send + Sync + use<W>, LogControl), TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (filter, control) = reload::Layer::new(filter(&log.level)?);
    let json = match log.format {
        LogFormat::Auto => !terminal,
        LogFormat::Pretty => false,
        LogFormat::Json => true,
    };
    let line = if json { Line::Json } else { Line::Pretty { color } };
    let layer = tracing_subscriber::fmt::layer()
        .fmt_fields(line)
        .event_format(line)
        .with_ansi(color)
        // It would report a failed write to the very place that failed.
        .log_internal_errors(false)
        .with_writer(writer);
    Ok((Registry::default().with(filter).with(layer), LogControl(control)))
}

/// How a line is written.
#[derive(Clone, Copy, Debug)]
enum Line {
    /// One JSON object.
    Json,
    /// For eyes.
    Pretty { color: bool },
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let now = SystemClock.now();
        match self {
            Self::Json => {
                write!(writer, r#"{{"timestamp":"{now:.3}","level":"{}""#, metadata.level())?;
                write!(writer, r#","target":"{}""#, metadata.target())?;
            }
            Self::Pretty { color: true } => {
                let paint = paint(*metadata.level());
                write!(writer, "\x1b[2m{now:.3}\x1b[0m {paint}{:>5}\x1b[0m", metadata.level())?;
                write!(writer, " \x1b[2m{}:\x1b[0m", metadata.target())?;
            }
            Self::Pretty { color: false } => {
                write!(writer, "{now:.3} {:>5} {}:", metadata.level(), metadata.target())?;
            }
        }
        self.fields(&mut writer, |visitor| event.record(visitor))?;
        for span in context
            .event_scope()
            .into_iter()
            .flat_map(tracing_subscriber::registry::Scope::from_root)
        {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                writer.write_str(fields.fields.as_str())?;
            }
        }
        writer.write_str(if matches!(self, Self::Json) { "}\n" } else { "\n" })
    }
}

impl<'w> FormatFields<'w> for Line {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        self.fields(&mut writer, |visitor| fields.record(visitor))
    }
}

impl Line {
    fn fields(
        self,
        writer: &mut Writer<'_>,
        record: impl FnOnce(&mut Fields<'_, '_>),
    ) -> fmt::Result {
        let mut fields = Fields { line: self, writer, result: Ok(()) };
        record(&mut fields);
        fields.result
    }
}

fn paint(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

/// Writes the fields of one event or span, each with what separates it from the one before.
struct Fields<'a, 'w> {
    line: Line,
    writer: &'a mut Writer<'w>,
    result: fmt::Result,
}

impl Fields<'_, '_> {
    fn put(&mut self, field: &Field, quoted: bool, value: fmt::Arguments<'_>) {
        if self.result.is_ok() {
            self.result = self.try_put(field.name(), quoted, value);
        }
    }

    fn try_put(&mut self, name: &str, quoted: bool, value: fmt::Arguments<'_>) -> fmt::Result {
        let quote = if quoted { "\"" } else { "" };
        match self.line {
            Line::Json => write!(self.writer, r#","{name}":{quote}"#)?,
            Line::Pretty { .. } if name == "message" => self.writer.write_char(' ')?,
            Line::Pretty { color: true } => write!(self.writer, " \x1b[3m{name}\x1b[0m={quote}")?,
            Line::Pretty { color: false } => write!(self.writer, " {name}={quote}")?,
        }
        let json = matches!(self.line, Line::Json);
        let mut clean = Clean { writer: self.writer, quoted, json, left: VALUE_BYTES_MAX };
        // Its only error is the one that says that the limit is reached.
        let _ = clean.write_fmt(value);
        match self.line {
            Line::Pretty { .. } if name == "message" => Ok(()),
            Line::Json | Line::Pretty { .. } => self.writer.write_str(quote),
        }
    }
}

impl Visit for Fields<'_, '_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no NaN and no infinity.
        self.put(field, !value.is_finite(), format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, false, format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, false, format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, false, format_args!("{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let bare = matches!(self.line, Line::Pretty { .. }) && is_plain(value);
        self.put(field, !bare, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // What the `log` crate's bridge adds is in the metadata already.
        if !field.name().starts_with("log.") {
            self.put(field, matches!(self.line, Line::Json), format_args!("{value:?}"));
        }
    }
}

/// True for a value that reads well without quotes.
fn is_plain(value: &str) -> bool {
    !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"')
}

/// Escapes what could break out of the line or of the quotes, and stops at the limit.
struct Clean<'a, 'w> {
    writer: &'a mut Writer<'w>,
    /// Within quotes, quote and backslash are escaped as well.
    quoted: bool,
    json: bool,
    left: usize,
}

impl fmt::Write for Clean<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let fitting = text.floor_char_boundary(self.left);
        let (text, rest) = text.split_at(fitting);
        self.left -= text.len();

        let mut plain_from = 0;
        for (position, c) in text.char_indices() {
            let special = c.is_control() || (self.quoted && matches!(c, '"' | '\\'));
            if !special {
                continue;
            }
            self.writer.write_str(text.get(plain_from..position).unwrap_or_default())?;
            plain_from = position + c.len_utf8();
            match c {
                '"' | '\\' => write!(self.writer, "\\{c}")?,
                '\n' => self.writer.write_str("\\n")?,
                '\r' => self.writer.write_str("\\r")?,
                '\t' => self.writer.write_str("\\t")?,
                c if self.json => write!(self.writer, "\\u{:04x}", u32::from(c))?,
                c => write!(self.writer, "{}", c.escape_unicode())?,
            }
        }
        self.writer.write_str(text.get(plain_from..).unwrap_or_default())?;
        if rest.is_empty() {
            return Ok(());
        }
        self.left = 0;
        self.writer.write_str("…")?;
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::Value;

    use super::*;

    #[derive(Clone, Debug, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written while `act` runs.
    fn logged(format: LogFormat, level: &str, act: impl FnOnce()) -> String {
        let sink = Sink::default();
        let make = {
            let sink = sink.clone();
            move || sink.clone()
        };
        let log = LogConfig { format, level: level.to_owned(), subject: true };
        let subscriber = subscriber(&log, false, false, make).unwrap();
        tracing::subscriber::with_default(subscriber, act);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn json(act: impl FnOnce()) -> Value {
        let text = logged(LogFormat::Json, "info", act);
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    #[test]
    fn a_json_line_is_one_flat_object() {
        let line = json(|| {
            tracing::info!(
                queue_id = %"0192-ab",
                subject = "안녕 \"you\"\n\\",
                attempt = 2_u32,
                ok = true,
                share = 0.5,
                odd = f64::NAN,
                "delivered"
            );
        });
        assert_eq!(line["message"], "delivered");
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["target"], "mailferry::telemetry::tests");
        assert_eq!(line["queue_id"], "0192-ab");
        assert_eq!(line["subject"], "안녕 \"you\"\n\\");
        assert_eq!(line["attempt"], 2);
        assert_eq!(line["ok"], true);
        assert_eq!(line["share"], 0.5);
        assert_eq!(line["odd"], "NaN");
        let timestamp = line["timestamp"].as_str().unwrap();
        assert!(timestamp.parse::<crate::clock::Timestamp>().is_ok(), "{timestamp}");
    }

    #[test]
    fn the_fields_of_spans_come_along() {
        let line = json(|| {
            let span =
                tracing::info_span!("connection", peer = "192.0.2.1", user = tracing::field::Empty);
            span.record("user", "lemmy");
            span.in_scope(|| tracing::info!("accepted"));
        });
        assert_eq!(line["peer"], "192.0.2.1");
        assert_eq!(line["user"], "lemmy");
    }

    #[test]
    fn no_value_breaks_out_of_its_line() {
        let evil = "a\r\n{\"level\":\"ERROR\"}\u{1b}[31m\u{0}\u{85}";
        let line = json(|| tracing::info!(subject = evil, reason = %evil, reply = ?evil, "{evil}"));
        assert_eq!(line["subject"], evil);
        assert_eq!(line["reason"], evil);
        assert_eq!(line["message"], evil);

        let text = logged(LogFormat::Pretty, "info", || {
            tracing::info!(subject = evil, reason = %evil, "{evil}");
        });
        assert_eq!(text.matches(char::is_control).count(), 1, "{text:?}");
        assert!(text.ends_with('\n'));
    }

    #[test]
    fn a_long_value_is_cut() {
        let long = "가".repeat(100_000);
        let line =
            json(|| tracing::info!(subject = long.as_str(), to = ?[long.as_str(); 3], after = 1));
        let subject = line["subject"].as_str().unwrap();
        assert!(
            subject.ends_with('…') && subject.len() <= VALUE_BYTES_MAX + 3,
            "{}",
            subject.len()
        );
        assert!(line["to"].as_str().unwrap().len() <= 2 * VALUE_BYTES_MAX);
        assert_eq!(line["after"], 1);
    }

    #[test]
    fn a_pretty_line_quotes_only_what_needs_it() {
        let text = logged(LogFormat::Pretty, "info", || {
            tracing::info!(provider = "resend", subject = "two words", attempt = 1, "delivered");
        });
        let (_, rest) = text.split_once("  INFO ").unwrap();
        assert_eq!(
            rest,
            "mailferry::telemetry::tests: delivered provider=resend subject=\"two words\" attempt=1\n"
        );
    }

    #[test]
    fn the_filter_decides_and_a_bad_one_is_named() {
        let text = logged(LogFormat::Auto, "warn,mailferry=error", || {
            tracing::warn!("unheard");
            tracing::error!("heard");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        let log = LogConfig {
            format: LogFormat::Auto,
            level: "mailferry=loud".to_owned(),
            subject: true,
        };
        let error = subscriber(&log, false, false, io::stderr).err().unwrap().to_string();
        assert!(error.contains("mailferry=loud"), "{error}");
    }

    #[test]
    fn the_level_changes_while_the_log_runs() {
        let sink = Sink::default();
        let make = {
            let sink = sink.clone();
            move || sink.clone()
        };
        let log = LogConfig { format: LogFormat::Pretty, level: "warn".to_owned(), subject: true };
        let (subscriber, control) = changeable(&log, false, false, make).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            let say = |number: u32| tracing::info!(number, "said");
            say(1);
            control.set_level("info").unwrap();
            say(2);
            assert!(control.set_level("info,=").is_err());
            say(3);
            control.set_level("error").unwrap();
            say(4);
        });
        let bytes = sink.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        let said: Vec<&str> =
            text.lines().filter_map(|line| line.rsplit("number=").next()).collect();
        assert_eq!(said, ["2", "3"], "{text}");
    }
}
