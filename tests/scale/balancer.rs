//! HAProxy before the instances, as an operator has it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::fleet::free_port;
use super::support::{tool, wait};

/// Where Debian has it, also for those whose PATH has no `sbin`.
fn program() -> Option<std::path::PathBuf> {
    let found = tool::find("haproxy");
    found.or_else(|| Some("/usr/sbin/haproxy".into())).filter(|it| it.is_file())
}

/// True where HAProxy is installed; otherwise the test is noted as skipped.
pub(crate) fn is_installed(test: &str) -> bool {
    let installed = program().is_some();
    if !installed {
        tool::skip(test, "not installed: haproxy");
    }
    installed
}

/// A running HAProxy. It is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Balancer {
    pub(crate) address: SocketAddr,
    child: Child,
    home: TempDir,
}

impl Balancer {
    /// Passes SMTP to these ports, those whose HTTP side says that they are well.
    pub(crate) async fn before(instances: &[(u16, u16)]) -> Self {
        let home = tempfile::Builder::new().prefix("mailferry-haproxy-").tempdir().unwrap();
        let port = free_port();
        let mut text = format!(
            "global\n  maxconn 1000\n\
             defaults\n  mode tcp\n  timeout connect 2s\n  timeout client 60s\n  timeout server 60s\n\
             \x20 retries 3\n  option redispatch 1\n\
             listen smtp\n  bind 127.0.0.1:{port}\n  balance roundrobin\n  option httpchk GET /health\n\
             \x20 default-server check inter 500ms fall 1 rise 1 on-marked-down none\n"
        );
        for (number, (smtp, http)) in instances.iter().enumerate() {
            text += &format!("  server m{number} 127.0.0.1:{smtp} port {http}\n");
        }
        let file = home.path().join("haproxy.cfg");
        fs::write(&file, text).unwrap();
        let log = fs::File::create(home.path().join("log")).unwrap();
        let mut command = Command::new(program().expect("the caller has asked for it"));
        command.arg("-db").arg("-f").arg(&file).kill_on_drop(true).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap();
        let address = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
        let mut balancer = Self { address, child, home };
        balancer.until_it_listens().await;
        balancer
    }

    async fn until_it_listens(&mut self) {
        wait::until("HAProxy listens", async || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("HAProxy ended with {status}:\n{}", self.log());
            }
            TcpStream::connect(self.address).await.ok()
        })
        .await;
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}
