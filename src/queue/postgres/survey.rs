//! What an operator should know of the server: said at the start, and by `mailferry check`.

use std::fmt;

use tokio_postgres::Client;

use super::fault::explain;

/// The oldest version that is tested.
const VERSION_MIN: i32 = 130_000;

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Survey {
    /// `15.18`, as the server writes it.
    pub(super) version: String,
    /// As a number: 150018.
    pub(super) number: i32,
    /// Whether a commit returns only when it would survive a power cut.
    pub(super) synchronous_commit: String,
    pub(super) fsync: bool,
    pub(super) full_page_writes: bool,
    /// The protocol's version; `None`: the way is not encrypted.
    pub(super) tls: Option<String>,
    /// The user, and in which schema the tables are.
    pub(super) user: String,
    pub(super) schema: Option<String>,
    /// Whether the user may make tables there.
    pub(super) may_create: bool,
    /// Connections that are free for this user.
    pub(super) connections_max: i32,
    pub(super) connections: i64,
}

impl Survey {
    /// Asks the server.
    pub(super) async fn take(client: &Client) -> Result<Self, tokio_postgres::Error> {
        let sql = "SELECT current_setting('server_version'), current_setting('server_version_num')::int, \
                   current_setting('synchronous_commit'), current_setting('fsync')::bool, \
                   current_setting('full_page_writes')::bool, \
                   (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()), current_user::text, \
                   current_schema()::text, \
                   coalesce(has_schema_privilege(current_schema(), 'CREATE'), false), \
                   current_setting('max_connections')::int, \
                   (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')";
        let row = client.query_one(sql, &[]).await?;
        Ok(Self {
            version: row.get(0),
            number: row.get(1),
            synchronous_commit: row.get(2),
            fsync: row.get(3),
            full_page_writes: row.get(4),
            tls: row.get(5),
            user: row.get(6),
            schema: row.get(7),
            may_create: row.get(8),
            connections_max: row.get(9),
            connections: row.get(10),
        })
    }

    /// What may cost mail, and what to do about it.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.number < VERSION_MIN {
            warnings.push(format!(
                "PostgreSQL {} is older than 13, with which nothing was tested",
                self.version
            ));
        }
        if self.synchronous_commit == "off" {
            warnings.push(
                "synchronous_commit is off: after a crash of the database, mail that was accepted within the last \
                 second may be gone, and mail that was sent may be sent again. Set it to on for this user: ALTER ROLE \
                 ... SET synchronous_commit = on"
                    .to_owned(),
            );
        }
        if !self.fsync {
            warnings
                .push("fsync is off: after a power cut the whole database may be lost".to_owned());
        }
        if !self.full_page_writes {
            warnings.push(
                "full_page_writes is off: after a power cut the database may be damaged".to_owned(),
            );
        }
        warnings
    }
}

impl fmt::Display for Survey {
    /// `PostgreSQL 15.18, TLSv1.3, schema public`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = self.tls.as_deref().unwrap_or("not encrypted");
        write!(f, "PostgreSQL {}, {tls}", self.version)
    }
}

/// Logs what may cost mail.
pub(super) async fn warn(client: &Client) {
    match Survey::take(client).await {
        Ok(survey) => {
            tracing::info!(server = %survey, "the database can be used");
            for warning in survey.warnings() {
                tracing::warn!("database: {warning}");
            }
        }
        Err(error) => {
            tracing::debug!(reason = explain(&error), "the database says nothing of itself");
        }
    }
}
