//! `mailferry check`: what an operator should know of the database before mail depends on it.

use std::time::Duration;

use jiff::SignedDuration;
use tokio_postgres::Client;

use super::PostgresSettings;
use super::connect::{CONNECTIONS_MAX, Connections};
use super::fault::explain;
use super::migrate;
use super::survey::Survey;
use crate::config::{DatabasePlace, DatabaseUrl};
use crate::queue::{Finding, StoreError};

/// Clocks that are further apart than this are worth a word.
const CLOCKS_APART: SignedDuration = SignedDuration::from_secs(2);
/// How long the database may take for its answers.
const PATIENCE: Duration = Duration::from_secs(20);

/// Connects and asks; changes nothing.
pub(super) async fn inspect(settings: PostgresSettings) -> Vec<Finding> {
    let connections = Connections::new(&settings);
    let asked = tokio::time::timeout(PATIENCE, ask(&connections, &settings.url)).await;
    asked.unwrap_or_else(|_| vec![Finding::Wrong("the database does not answer".to_owned())])
}

async fn ask(connections: &Connections, url: &DatabaseUrl) -> Vec<Finding> {
    let client = match connections.visit().await {
        Ok(client) => client,
        Err(fault) => return vec![Finding::Wrong(fault.text().to_owned())],
    };
    let mut findings = Vec::new();
    let survey = match Survey::take(&client).await {
        Ok(survey) => survey,
        Err(error) => return vec![Finding::Wrong(explain(&error))],
    };
    findings.push(Finding::Fine(format!(
        "{url}: PostgreSQL {} lets {} in",
        survey.version, survey.user
    )));
    findings.push(protection(&survey, url));
    findings.push(schema(&client, &survey).await);
    if survey.synchronous_commit != "off" {
        let setting = &survey.synchronous_commit;
        findings.push(Finding::Fine(format!("synchronous_commit is {setting}")));
    }
    findings.extend(survey.warnings().into_iter().map(Finding::Doubtful));
    findings.push(room(&survey));
    if let Err(fault) = connections.look_at_clock(&client).await {
        findings.push(Finding::Wrong(fault.text().to_owned()));
    }
    findings.extend(connections.machine_ahead().map(clocks));
    findings
}

fn protection(survey: &Survey, url: &DatabaseUrl) -> Finding {
    let far = url.hosts.iter().any(|host| match &host.place {
        DatabasePlace::Socket(_) => false,
        DatabasePlace::Network { name, address } => {
            let address = address.or(name.parse().ok());
            !(name == "localhost" || address.is_some_and(|address| address.is_loopback()))
        }
    });
    match &survey.tls {
        Some(version) if far && !url.tls.verifies() => Finding::Doubtful(format!(
            "the way to the database is encrypted ({version}), to whoever answers there: sslmode=verify-full makes sure \
             that it is the database"
        )),
        Some(version) => Finding::Fine(format!("the way to the database is encrypted ({version})")),
        None if far => Finding::Doubtful(
            "the way to the database is not encrypted: whoever is on it can read and change the mail; set \
             sslmode=verify-full"
                .to_owned(),
        ),
        None => Finding::Fine("the way to the database does not leave this machine".to_owned()),
    }
}

/// Whether the tables are there, or can be made.
async fn schema(client: &Client, survey: &Survey) -> Finding {
    let version = match migrate::version(client).await {
        Ok(version) => version,
        Err(StoreError::Unavailable(problem)) => return Finding::Wrong(problem),
        Err(error) => return Finding::Wrong(error.to_string()),
    };
    let newest = migrate::VERSION;
    if version == newest {
        return Finding::Fine(format!("the tables are up to date (version {version})"));
    }
    if !survey.may_create {
        let user = &survey.user;
        let state = if version == 0 { "not there yet" } else { "old" };
        return Finding::Wrong(match &survey.schema {
            Some(schema) => format!(
                "the tables are {state}, and {user} may not make any in the schema {schema}: make {user} the owner of \
                 the database, or GRANT USAGE, CREATE ON SCHEMA {schema} TO {user}"
            ),
            None => format!(
                "the tables are {state}, and none of the schemas in the search_path exists that {user} may use"
            ),
        });
    }
    Finding::Fine(match version {
        0 => "the tables are not there yet; the first start makes them".to_owned(),
        old => format!("the tables are of version {old}; the next start brings them to {newest}"),
    })
}

/// Whether there is room for this instance.
fn room(survey: &Survey) -> Finding {
    let (used, max) = (survey.connections, i64::from(survey.connections_max));
    let each = i64::try_from(CONNECTIONS_MAX).unwrap_or(i64::MAX);
    let text = format!("{used} of {max} connections are in use; an instance has up to {each}");
    if used.saturating_add(each) > max {
        return Finding::Doubtful(format!("{text}: raise max_connections of the database"));
    }
    Finding::Fine(text)
}

fn clocks(ahead: SignedDuration) -> Finding {
    let seconds = ahead.unsigned_abs().as_secs_f64();
    let side = if ahead.is_negative() { "behind" } else { "ahead of" };
    if ahead.abs() < CLOCKS_APART {
        return Finding::Fine(format!(
            "this machine's clock is {:.0} ms {side} the database's, which all instances go by",
            seconds * 1000.0
        ));
    }
    Finding::Doubtful(format!(
        "this machine's clock is {seconds:.0} s {side} the database's, which all instances go by: one of the two is wrong"
    ))
}
