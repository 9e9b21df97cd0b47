//! The command line: what is asked for, and what is said about it.
//!
//! Nothing here starts the server or opens a store. `main` brings the parts together.

mod args;
pub mod check;
mod dev;
pub mod hash_password;
pub mod health;
mod output;
pub mod queue;
pub mod send;

pub use args::{
    CheckArgs, Cli, Command, DevArgs, ExportArgs, HealthArgs, ListArgs, MigrateArgs, QueueAction,
    QueueArgs, RetryArgs, SendArgs,
};
pub use dev::DevStore;
pub use output::{complain, out, out_raw};

use std::ffi::OsString;
use std::fmt;
use std::process::ExitCode;

use clap::Parser;

use crate::config::{Config, ConfigErrors, Layer, LoadOptions, Loaded, LogConfig, Purpose};
use crate::telemetry::{self, LogControl};

/// How the program ends. Whoever returns it has already said why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Done,
    /// What was asked for did not succeed.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// The configuration makes no sense (`EX_CONFIG`).
    BadConfiguration,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::BadConfiguration => 78,
        })
    }
}

impl Cli {
    /// Reads the command line. Help and version are answered here.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Result<Self, Exit> {
        Self::try_parse_from(args).map_err(|error| {
            if error.use_stderr() {
                complain(&error.render().to_string());
                Exit::Usage
            } else {
                out(&error.render().to_string());
                Exit::Done
            }
        })
    }
}

/// Loads the configuration; if it is faulty, says everything that is wrong with it.
pub fn load(options: &LoadOptions) -> Result<Loaded, Exit> {
    // The daemon's warnings go to its log.
    let warn = options.purpose == Purpose::Tool;
    match Config::load(options) {
        Ok(loaded) => {
            for warning in loaded.warnings.iter().filter(|_| warn) {
                complain(&format!("warning: {warning}\n"));
            }
            Ok(loaded)
        }
        Err(ConfigErrors { errors, warnings }) => {
            complain("mailferry: the configuration is not usable\n");
            for warning in warnings {
                complain(&format!("warning: {warning}\n"));
            }
            for error in errors {
                complain(&format!("error: {error}\n"));
            }
            Err(Exit::BadConfiguration)
        }
    }
}

/// The same for `mailferry check`, which prints findings.
pub fn load_to_check(options: &LoadOptions) -> Result<Loaded, Exit> {
    Config::load(options).map_err(|errors| {
        check::print(&check::configuration_errors(&errors));
        Exit::BadConfiguration
    })
}

/// Starts the log, and begins it with what the configuration's owner should look at.
pub fn start_log(loaded: &Loaded) -> Result<LogControl, Exit> {
    let control = log_with(&loaded.config.log)?;
    for warning in &loaded.warnings {
        tracing::warn!("configuration: {warning}");
    }
    Ok(control)
}

/// The log of a command that prints a result, what is wrong included: none, unless a level was asked for.
pub fn start_quiet_log(loaded: &Loaded) -> Result<(), Exit> {
    for warning in &loaded.warnings {
        complain(&format!("warning: {warning}\n"));
    }
    let level = loaded.effective.iter().find(|shown| shown.key == "log.level");
    let asked = level.is_some_and(|shown| shown.layer != Layer::Default);
    let log = loaded.config.log.clone();
    log_with(&if asked { log } else { LogConfig { level: "off".to_owned(), ..log } }).map(drop)
}

fn log_with(log: &LogConfig) -> Result<LogControl, Exit> {
    telemetry::init(log).map_err(|error| {
        complain(&format!("mailferry: {error}\n"));
        Exit::BadConfiguration
    })
}

/// Runs a daemon to its end. `is_bad_configuration` tells errors that a restart cannot mend.
pub fn daemon<E: fmt::Display>(
    running: impl Future<Output = Result<(), E>>,
    is_bad_configuration: impl Fn(&E) -> bool,
) -> Result<(), Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        complain(&format!("mailferry: no runtime: {error}\n"));
        Exit::Failed
    })?;
    runtime.block_on(running).map_err(|error| {
        complain(&format!("mailferry: {error}\n"));
        if is_bad_configuration(&error) { Exit::BadConfiguration } else { Exit::Failed }
    })
}

/// Waits for one thing, on this thread.
pub fn wait<T>(task: impl Future<Output = T>) -> Result<T, Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        complain(&format!("mailferry: no runtime: {error}\n"));
        Exit::Failed
    })?;
    Ok(runtime.block_on(task))
}
