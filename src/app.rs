//! Puts the parts together.

use std::sync::Arc;

use crate::cli::check::NamedProvider;
use crate::config::Config;
use crate::delivery::{Cause, NotSent, Sent};
use crate::message::Draft;
use crate::queue::{Store, StoreError};

/// Why the daemon did not run, or stopped.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct AppError(pub String);

const NOT_WIRED: &str = "not wired";

/// Runs the daemon until it is told to stop.
pub async fn serve(config: Config) -> Result<(), AppError> {
    let _ = std::future::ready(config).await;
    Err(AppError(NOT_WIRED.to_owned()))
}

/// Runs the daemon that catches all mail, until it is told to stop.
pub async fn dev(config: Config) -> Result<(), AppError> {
    serve(config).await
}

/// Sends one message through the configured route, or by one provider of it.
pub async fn send(config: Config, draft: Draft, provider: Option<&str>) -> Result<Sent, NotSent> {
    let _ = std::future::ready((config, draft, provider)).await;
    let error = NOT_WIRED.to_owned();
    Err(NotSent { id: None, provider: None, error, cause: Cause::NoProvider })
}

/// Opens the queue for a command that stands beside the daemon.
pub fn store(config: &Config) -> Result<Arc<dyn Store>, StoreError> {
    let _ = config;
    Err(StoreError::Unavailable(NOT_WIRED.to_owned()))
}

/// The configured providers by name, in the order of preference.
pub fn providers(config: &Config) -> Result<Vec<NamedProvider>, AppError> {
    let _ = config;
    Err(AppError(NOT_WIRED.to_owned()))
}
