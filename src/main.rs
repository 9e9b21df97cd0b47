//! The `mailferry` program: which command does what.

use std::process::ExitCode;

use mailferry::app::{self, AppError};
use mailferry::cli::{self, Cli, Command, DevStore, Exit, QueueAction};
use mailferry::clock::SystemClock;
use mailferry::config::{LoadOptions, Purpose};

fn main() -> ExitCode {
    let done = Cli::read(std::env::args_os()).and_then(run);
    done.err().unwrap_or(Exit::Done).into()
}

fn run(cli: Cli) -> Result<(), Exit> {
    let environment: Vec<(String, String)> = std::env::vars_os()
        // What is not UTF-8 keeps a mark of it, and is refused if it is ours.
        .map(|(name, value)| (name.to_string_lossy().into(), value.to_string_lossy().into()))
        .collect();
    let options = |purpose| LoadOptions::new(cli.config.clone(), environment.clone(), purpose);
    let load = |purpose| cli::load(&options(purpose));

    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => {
            let start = start(options(Purpose::Serve))?;
            cli::daemon(app::serve(start), AppError::is_bad_configuration)
        }
        Command::Dev(args) => {
            let store = DevStore::new(args.store)?;
            let start = start(options(Purpose::Dev { queue: store.file().to_owned() }))?;
            cli::daemon(app::dev(start), AppError::is_bad_configuration)
        }
        Command::Check(args) => {
            let loaded = cli::load_to_check(&options(Purpose::Serve))?;
            let config = &loaded.config;
            cli::check::run(&loaded, args.offline, || app::providers(config), app::inspect(config))
        }
        Command::Send(args) => {
            let loaded = load(Purpose::Serve)?;
            cli::start_quiet_log(&loaded)?;
            let draft = cli::send::draft(&args, &loaded.config)?;
            let sending = app::send(loaded.config, draft, args.provider.as_deref());
            cli::send::report(cli::wait(sending)?)
        }
        Command::Queue(args) => {
            let config = load(Purpose::Tool)?.config;
            if let QueueAction::Migrate(ends) = &args.action {
                let way = cli::queue::Way::read(ends, args.json)?;
                let source = app::movable(&config, &way.from, false);
                let target = app::movable(&config, &way.to, true);
                return cli::queue::migrate(&way, source, target, &SystemClock);
            }
            cli::queue::check(&args, &config)?;
            cli::queue::run(&args, app::store(&config))
        }
        Command::Health(args) => cli::health::run(args, || load(Purpose::Tool)),
        Command::HashPassword => cli::hash_password::run(),
        Command::Config => {
            cli::out(&mailferry::config::render(&load(Purpose::Tool)?.effective));
            Ok(())
        }
    }
}

/// What a daemon starts with. It keeps where the configuration is from, to read it again.
fn start(options: LoadOptions) -> Result<app::Start, Exit> {
    let loaded = cli::load(&options)?;
    let log = cli::start_log(&loaded)?;
    Ok(app::Start { loaded, options, handed: app::Handed::from_environment(), log })
}
