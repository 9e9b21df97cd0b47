//! The commands and their options, with the help that a person reads.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::message::{Address, QueueId};
use crate::queue::State;
use crate::secret::Secret;

/// SMTP server for apps whose host blocks the mail ports: takes mail on port 1025, keeps it safe on disk, and carries it
/// to an email provider's HTTPS API.
#[derive(Debug, Parser)]
#[command(
    name = "mailferry",
    version,
    max_term_width = 100,
    after_help = "\
Start in one line:
  RESEND_API_KEY=re_… mailferry       carry mail from port 1025 to Resend
  mailferry dev                       catch all mail, send none, see it on http://127.0.0.1:8025

Exit codes: 0 done, 1 failed, 2 usage, 78 bad configuration."
)]
pub struct Cli {
    /// Configuration file [default: ./mailferry.toml, then /etc/mailferry/mailferry.toml; none is fine]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server until SIGTERM or SIGINT (this is what no command means)
    #[command(after_help = "\
Example:
  RESEND_API_KEY=re_… SMTP_FROM_ADDRESS=noreply@example.org mailferry serve

Then point the app to SMTP server 127.0.0.1, port 1025, no TLS, no user name.
`mailferry health` says how it does, `mailferry queue list` what it carries.
SIGHUP has it read its configuration file again; `mailferry check` says before whether it is right.")]
    Serve,

    /// Catch all mail and deliver none, for development and tests
    ///
    /// Needs no key and no configuration file. Whatever providers are configured, nothing is sent, and the queue of
    /// real mail is not touched. SMTP is on port 1025, the page with the caught mail on http://127.0.0.1:8025.
    #[command(after_help = "\
Examples:
  mailferry dev                       caught mail is gone when it stops
  mailferry dev --store dev.db        caught mail stays in dev.db
  MAILFERRY__QUEUE__URL=sqlite:dev.db mailferry queue list       what it holds")]
    Dev(DevArgs),

    /// Say whether the configuration is right
    ///
    /// Prints one line per finding: ok, warning or error, with what to do. Looks at the settings, the sender address,
    /// who may send, and whether the queue's directory can be written; unless offline it also asks each provider
    /// whether the key is taken, without sending mail. DNS records are not looked at.
    /// Exits with 0 without errors, 1 when a check failed, 78 when the configuration cannot be loaded.
    #[command(after_help = "\
Examples:
  mailferry check
  mailferry --config new.toml check --offline")]
    Check(CheckArgs),

    /// Send one message through the configured providers
    #[command(after_help = "\
Examples:
  mailferry send --to you@example.org
  mailferry send --to you@example.org --subject Report --text 'See the file.' --attach report.pdf
  date | mailferry send --to you@example.org --text - --provider resend")]
    Send(SendArgs),

    /// Look at and act on the queue
    #[command(after_help = "\
Examples:
  mailferry queue list --state failed
  mailferry queue show 01937b5e-8f00-7000-8000-000000000000
  mailferry queue retry 01937b5e-8f00-7000-8000-000000000000 --provider sendgrid
  mailferry queue export 01937b5e-8f00-7000-8000-000000000000 > message.eml")]
    Queue(QueueArgs),

    /// Ask a running server whether it is healthy
    ///
    /// Asks /health and prints ok or degraded, with the providers that are in trouble. Exits with 0 when the answer is
    /// 200 and with 1 when it is another or none: for container health checks and cron.
    #[command(after_help = "\
Examples:
  mailferry health
  mailferry health --url http://10.0.0.5:8025")]
    Health(HealthArgs),

    /// Make a hash of a password, to be written into the configuration instead of it
    ///
    /// Asks for the password on the terminal, else reads it from standard input, and prints its Argon2id hash for
    /// `password` in [[smtp.users]]. Nothing is stored, and no configuration is needed.
    #[command(after_help = "\
Examples:
  mailferry hash-password
  openssl rand -base64 24 | tee lemmy-password | mailferry hash-password")]
    HashPassword,

    /// Print the effective configuration, each value with where it came from, secrets masked
    #[command(after_help = "\
Example:
  mailferry config | grep -v '# default'")]
    Config,
}

#[derive(Args, Debug)]
pub struct DevArgs {
    /// Keep caught mail in this file [default: a temporary one]
    #[arg(long, value_name = "FILE")]
    pub store: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Look at the configuration only, ask nobody
    #[arg(long)]
    pub offline: bool,
}

#[derive(Args, Debug)]
pub struct SendArgs {
    /// Recipient; may be repeated
    #[arg(long, required = true, value_name = "ADDRESS")]
    pub to: Vec<Address>,

    /// Sender [default: sender.address]
    #[arg(long, value_name = "ADDRESS")]
    pub from: Option<Address>,

    /// Subject
    #[arg(long, default_value = "Test message from mailferry", value_name = "TEXT")]
    pub subject: String,

    /// Plain text body; - reads standard input
    #[arg(long, value_name = "TEXT")]
    pub text: Option<String>,

    /// HTML body; - reads standard input
    #[arg(long, value_name = "HTML")]
    pub html: Option<String>,

    /// File to attach; may be repeated
    #[arg(long, value_name = "FILE")]
    pub attach: Vec<PathBuf>,

    /// Use this provider and no other
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,
}

#[derive(Args, Debug)]
pub struct QueueArgs {
    #[command(subcommand)]
    pub action: QueueAction,

    /// Print JSON, in the form of the HTTP API
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum QueueAction {
    /// List messages, newest first
    #[command(after_help = "\
Examples:
  mailferry queue list --state queued
  mailferry queue list --search alice@example.org --limit 5")]
    List(ListArgs),

    /// Show one message with its recipients and attempts, and what will happen next
    #[command(after_help = "\
Examples:
  mailferry queue show 01937b5e-8f00-7000-8000-000000000000 --json
  mailferry queue show '<20261121100000.1@example.org>'")]
    Show {
        /// The id that the 250 named, the Message-ID, or what a provider called the message
        id: String,
    },

    /// Try queued, failed or cancelled messages again now
    ///
    /// Their span of time (delivery.give_up_after) begins anew. A running server notices within two seconds.
    /// With --to the message goes to these addresses instead of to those who have not got it; its header stays as it
    /// is. So a wrong address is corrected, and a delivered message is sent once more.
    /// With --failed, messages that may have arrived are left alone: name them to have them sent nevertheless.
    /// Exits with 1 when one could not be retried or was left alone.
    #[command(group = clap::ArgGroup::new("which").required(true), after_help = "\
Examples:
  mailferry queue retry 01937b5e-8f00-7000-8000-000000000000 --provider sendgrid
  mailferry queue retry '<20261121100000.1@example.org>' --to alice@example.org
  mailferry queue retry --failed")]
    Retry(RetryArgs),

    /// Stop messages that are queued
    #[command(after_help = "\
Example:
  mailferry queue cancel 01937b5e-8f00-7000-8000-000000000000")]
    Cancel {
        /// The messages: ids, Message-IDs, or what a provider called them
        #[arg(required = true)]
        id: Vec<String>,
    },

    /// Write raw messages, octet by octet as they are stored
    ///
    /// One message goes to standard output or to the file of --output, several go into a folder, each as ID.eml.
    /// A message whose content is past queue.keep_bodies cannot be exported. Files are readable by their owner only.
    #[command(group = clap::ArgGroup::new("which").required(true), after_help = "\
Examples:
  mailferry queue export 01937b5e-8f00-7000-8000-000000000000 > message.eml
  mailferry queue export '<20261121100000.1@example.org>' --output message.eml
  mailferry queue export --all --state failed --directory failed-mail")]
    Export(ExportArgs),

    /// Move the whole queue to another store: from a file into a database, back, or from one to another of a kind
    ///
    /// Everything goes along: messages in every state with contents and attempts, suppressed addresses, counters,
    /// quotas, idempotency keys. No server may use either of the two meanwhile. Afterwards none starts on the old one.
    /// It may be broken off anywhere and run again; the other way round it brings everything back.
    /// A URL without a password takes queue.password of the configuration.
    #[command(after_help = "\
Examples:
  mailferry queue migrate --from sqlite:/data/mailferry.db --to postgres://mailferry@db.example.org/mailferry
  mailferry queue migrate --from postgres://mailferry@db.example.org/mailferry --to sqlite:/data/mailferry.db")]
    Migrate(MigrateArgs),
}

#[derive(Args, Debug)]
pub struct RetryArgs {
    /// The messages: ids, Message-IDs, or what a provider called them
    #[arg(group = "which")]
    pub id: Vec<String>,

    /// All messages that have failed, except those that may have arrived
    #[arg(long, group = "which")]
    pub failed: bool,

    /// By this provider and no other
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,

    /// To this address instead; may be repeated
    #[arg(long, value_name = "ADDRESS", conflicts_with = "failed")]
    pub to: Vec<Address>,
}

#[derive(Args, Debug)]
pub struct ExportArgs {
    /// The messages: ids, Message-IDs, or what a provider called them
    #[arg(group = "which")]
    pub id: Vec<String>,

    /// All messages whose content is kept
    #[arg(long, group = "which", requires = "directory")]
    pub all: bool,

    /// With --all: only messages in this state: queued, sending, delivered, failed, cancelled
    #[arg(long, requires = "all")]
    pub state: Option<State>,

    /// Write one message into this file; - is standard output [default: -]
    #[arg(long, value_name = "FILE", conflicts_with = "directory")]
    pub output: Option<PathBuf>,

    /// Write each message into this folder, which is made if it is not there
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct MigrateArgs {
    /// The queue that is left
    #[arg(long, value_name = "URL", value_parser = secret)]
    pub from: Secret,

    /// Where it goes; made if it is not there. What is in it already stays
    #[arg(long, value_name = "URL", value_parser = secret)]
    pub to: Secret,

    /// Although it was moved elsewhere before, to a store that is lost: what was sent from there is sent once more
    #[arg(long)]
    pub again: bool,
}

/// It may hold a password, which no error may repeat.
#[expect(clippy::unnecessary_wraps, reason = "the form of a parser")]
fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text))
}

#[derive(Args, Debug)]
pub struct ListArgs {
    /// Only messages in this state: queued, sending, delivered, failed, cancelled
    #[arg(long)]
    pub state: Option<State>,

    /// Only messages that this provider was last asked to take
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,

    /// Only messages with this in an address, the subject or an id; a whole Message-ID or provider id finds its message
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,

    /// Only messages older than this one
    #[arg(long, value_name = "ID")]
    pub before: Option<QueueId>,

    /// How many at the most
    #[arg(long, default_value_t = 50, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub limit: u16,
}

#[derive(Args, Debug)]
pub struct HealthArgs {
    /// The server's address [default: http.listen of the configuration]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}
