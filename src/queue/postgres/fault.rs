//! What went wrong, in words for an operator. Never a host or a password: a text may go to an SMTP client.

use std::error::Error as _;
use std::io;

use rustls::CertificateError;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::queue::StoreError;

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    text: String,
    kind: Kind,
}

/// What can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It may pass.
    Away,
    /// Somebody has to mend something first.
    Refused,
}

impl Fault {
    /// One that may pass.
    pub(super) fn away(text: impl Into<String>) -> Self {
        Self { text: text.into(), kind: Kind::Away }
    }

    /// One that does not mend itself.
    pub(super) fn refused(text: impl Into<String>) -> Self {
        Self { text: text.into(), kind: Kind::Refused }
    }

    /// Judges an error that has come instead of a connection.
    pub(super) fn of(error: &Error) -> Self {
        let text = explain(error);
        if is_refusal(error) { Self::refused(text) } else { Self::away(text) }
    }

    pub(super) fn is_refusal(&self) -> bool {
        self.kind == Kind::Refused
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        Self::Unavailable(fault.text)
    }
}

/// The error that everybody gets whose work could not be done.
pub(super) fn unavailable(error: &Error) -> StoreError {
    StoreError::Unavailable(explain(error))
}

/// Names the cause, and what to do about it.
pub(super) fn explain(error: &Error) -> String {
    if let Some(error) = error.as_db_error() {
        return said(error.code(), error.message());
    }
    if error.is_closed() {
        return "the connection to the database was lost".to_owned();
    }
    let Some(cause) = error.source() else { return error.to_string() };
    if let Some(cause) = cause.downcast_ref::<io::Error>() {
        return of_io(cause);
    }
    match cause.to_string().as_str() {
        "password missing" => "the database wants a password: set queue.password".to_owned(),
        "server does not support TLS" => {
            "the database offers no TLS, and sslmode asks for it".to_owned()
        }
        "server did not use channel binding" => {
            "the database does not tie the password to the encryption, and channel_binding asks for it".to_owned()
        }
        // The crate's own words name what it could not do with a message or a value.
        cause => format!("{error}: {cause}"),
    }
}

const POOLER: &str = "something between mailferry and the database hands the connection to others between statements \
                      (a pooler such as pgbouncer in transaction mode): connect to the database itself, or set its \
                      pool_mode to session";

/// An answer of the server in our words, where there are better ones than its own.
fn said(code: &SqlState, message: &str) -> String {
    let known = match *code {
        SqlState::INVALID_PASSWORD => {
            "the database refuses the user or the password (queue.url, queue.password)"
        }
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            "the database does not let this user in from here: see its pg_hba.conf and whether the user exists, may log \
             in, and must use TLS or a certificate"
        }
        SqlState::INVALID_CATALOG_NAME => "there is no such database: create it, or mend queue.url",
        SqlState::TOO_MANY_CONNECTIONS => {
            "the database has no connection left: raise its max_connections, or run fewer instances"
        }
        SqlState::READ_ONLY_SQL_TRANSACTION => {
            "the database takes no changes: it is a standby, or was demoted to one"
        }
        SqlState::DISK_FULL => "the disk of the database is full",
        SqlState::OUT_OF_MEMORY => "the database is out of memory",
        SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN => "the database is shutting down",
        SqlState::CANNOT_CONNECT_NOW => "the database is starting up or shutting down",
        SqlState::QUERY_CANCELED => "the database took too long",
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => {
            "the database has ended a transaction that stood still"
        }
        SqlState::INVALID_SQL_STATEMENT_NAME | SqlState::DUPLICATE_PSTATEMENT => POOLER,
        SqlState::INSUFFICIENT_PRIVILEGE => {
            return format!("the database user lacks a right: {message}");
        }
        _ if message.starts_with("unsupported startup parameter") => POOLER,
        _ => return format!("the database says: {message}"),
    };
    known.to_owned()
}

/// A fault of the way there.
pub(super) fn of_io(error: &io::Error) -> String {
    if let Some(error) = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
        return of_tls(error);
    }
    let known = match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "nothing answers at the database's address: is it running?"
        }
        io::ErrorKind::TimedOut => "the database does not answer",
        io::ErrorKind::NotFound => "the database's socket is not there: is it running?",
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => "the connection to the database was lost",
        _ => return format!("the database cannot be reached: {error}"),
    };
    known.to_owned()
}

fn of_tls(error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(fault) = error else {
        return match error {
            rustls::Error::AlertReceived(alert) => format!(
                "the database ends the encryption ({alert:?}): it may want another certificate of ours (sslcert, sslkey)"
            ),
            error => format!("no encryption with the database: {error}"),
        };
    };
    let known = match fault {
        CertificateError::UnknownIssuer => {
            "is not signed by an authority that is trusted here: name its certificate by sslrootcert"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "is for another name than the host in queue.url, which sslmode=verify-full asks for (a name must stand in its \
             subjectAltName)"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet: is the clock right?"
        }
        fault => return format!("the database's certificate is not accepted: {fault:?}"),
    };
    format!("the database's certificate {known}")
}

/// Whether waiting does not help.
fn is_refusal(error: &Error) -> bool {
    if let Some(code) = error.code() {
        return [
            SqlState::INVALID_PASSWORD,
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            SqlState::INVALID_CATALOG_NAME,
            SqlState::INSUFFICIENT_PRIVILEGE,
            SqlState::PROTOCOL_VIOLATION,
            SqlState::FEATURE_NOT_SUPPORTED,
        ]
        .contains(code);
    }
    let Some(cause) = error.source() else { return false };
    match cause.downcast_ref::<io::Error>() {
        Some(cause) => cause
            .get_ref()
            .and_then(|cause| cause.downcast_ref::<rustls::Error>())
            .is_some_and(|error| {
                matches!(
                    error,
                    rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_)
                )
            }),
        // What the client itself refuses: no password, no TLS, an unknown way to log in.
        None => !error.is_closed(),
    }
}
