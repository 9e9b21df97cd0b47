//! A PostgreSQL server of the tests' own: Debian's program with its own data and port, never the machine's server.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

/// Where Debian has the programs of the newest version, if it has any.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    folders.filter(|folder| folder.join("initdb").is_file()).max()
}

/// True where PostgreSQL is installed.
pub(crate) fn is_installed() -> bool {
    programs().is_some()
}

/// A running server. It ends with this value, and also when the process that holds it is killed.
#[derive(Debug)]
pub(crate) struct Server {
    home: TempDir,
    programs: PathBuf,
    pub(crate) port: u16,
    settings: Vec<String>,
    running: Option<(Child, ChildStdin)>,
}

impl Server {
    /// Starts one with these settings (`name=value`) beside the usual ones.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let mut server = Self::without_data(settings);
        server.run(
            "initdb",
            &["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-sync", "--pgdata"],
        );
        server.resume();
        server
    }

    /// Starts one that follows this one and has all that it has, until it is promoted.
    pub(crate) fn standby(&self, settings: &[&str]) -> Self {
        let mut server = Self::without_data(settings);
        let port = self.port.to_string();
        let from = ["--host=127.0.0.1", "--username=postgres", "--port", &port];
        let how = ["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--pgdata"];
        server.run("pg_basebackup", &[from.as_slice(), &how].concat());
        server.resume();
        server
    }

    /// No commit is answered from now on before a standby has it.
    pub(crate) fn wait_for_standby(&self) {
        self.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
        self.sql("postgres", "SELECT pg_reload_conf()");
        const STATE: &str = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        let mut asked = 0;
        while self.sql("postgres", STATE) != "1" {
            asked += 1;
            assert!(asked < 300, "no standby follows:\n{}", self.read_log());
            self.sql("postgres", "SELECT pg_sleep(0.1)");
        }
    }

    /// A standby becomes a server of its own.
    pub(crate) fn promote(&self) {
        self.run("pg_ctl", &["promote", "--wait", "--pgdata"]);
    }

    fn without_data(settings: &[&str]) -> Self {
        let programs = programs().expect("the caller has asked whether PostgreSQL is installed");
        let home = tempfile::Builder::new().prefix("mailferry-postgres-").tempdir().unwrap();
        if let Some((user, group)) = account() {
            chown(home.path(), Some(user), Some(group)).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = settings.iter().map(|it| (*it).to_owned()).collect();
        Self { home, programs, port, settings, running: None }
    }

    /// The URL of a database.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Its data and configuration files.
    pub(crate) fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// An empty database with a name that nobody else uses.
    pub(crate) fn database(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// Runs SQL by psql; what it prints, without headings.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]).args([
            "--set=ON_ERROR_STOP=1",
            "--dbname",
            &self.url(database),
            "--command",
            sql,
        ]);
        let output = psql.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{sql}: {error}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Stops it; running connections are cut (`immediate`: as in a power failure).
    pub(crate) fn stop(&mut self, mode: &str) {
        self.run("pg_ctl", &["stop", "--wait", "--mode", mode, "--pgdata"]);
        self.finish();
    }

    /// Starts it again on the same port.
    pub(crate) fn resume(&mut self) {
        let sockets = self.home.path().display().to_string();
        // It ends when its input does: also when this process is killed, or ends without dropping it.
        const GUARD: &str = r#"home=$1; shift; "$@" & pid=$!; read -r _ || gone=1; kill -INT "$pid" 2>/dev/null
            wait "$pid"; if [ -n "$gone" ]; then rm -rf "$home"; fi"#;
        let mut command = self.as_user("sh");
        command.args(["-c", GUARD, "sh"]).arg(self.home.path()).arg(self.programs.join("postgres"));
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string(), "-k", &sockets]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "max_connections=300",
            "shared_buffers=32MB",
            "fsync=off",
        ] {
            command.args(["-c", setting]);
        }
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        self.running = Some((child, stdin));
        let mut ready = self.as_user("sh");
        // pg_isready waits for an answer itself; a loaded machine may take long for the first one.
        const ASK: &str = r#"for i in $(seq 300); do "$1" -q -h 127.0.0.1 -p "$2" && exit 0; sleep 0.1; done; exit 1"#;
        ready
            .args(["-c", ASK, "sh"])
            .arg(self.programs.join("pg_isready"))
            .arg(self.port.to_string());
        assert!(
            ready.status().unwrap().success(),
            "PostgreSQL does not start:\n{}",
            self.read_log()
        );
    }

    fn log(&self) -> PathBuf {
        self.home.path().join("log")
    }

    /// What it has logged.
    pub(crate) fn read_log(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = self.as_user(&self.programs.join(program).display().to_string());
        let output = command.args(arguments).arg(self.data()).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program}: {error}");
    }

    /// PostgreSQL does not run as the superuser.
    fn as_user(&self, program: &str) -> Command {
        let mut command = match account() {
            None => Command::new(program),
            Some((user, group)) => {
                let mut command = Command::new("setpriv");
                command
                    .args([format!("--reuid={user}"), format!("--regid={group}")])
                    .args(["--clear-groups", program]);
                command
            }
        };
        command.current_dir("/");
        command
    }

    fn finish(&mut self) {
        if let Some((mut child, mut stdin)) = self.running.take() {
            // It may have ended.
            let _ = stdin.write_all(b"\n");
            drop(stdin);
            child.wait().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.finish();
    }
}

/// The account that Debian's package has made, where this process is the superuser's.
fn account() -> Option<(u32, u32)> {
    let own = fs::metadata("/proc/self").unwrap().uid();
    if own != 0 {
        return None;
    }
    let users = fs::File::open("/etc/passwd").unwrap();
    let lines = BufReader::new(users).lines().map_while(Result::ok);
    let mut found = lines.filter(|line| line.starts_with("postgres:"));
    let line = found.next().expect("Debian's package makes the account");
    let mut fields = line.split(':').skip(2).map(|field| field.parse().unwrap());
    Some((fields.next().unwrap(), fields.next().unwrap()))
}

/// One server for all tests of this process that do nothing to the server itself.
pub(crate) fn common() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start(&[]))
}
