//! HAProxy before the instances, as an operator has it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::fleet::free_port;
use super::support::{tool, wait};

/// As an operator gets it.
const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/haproxy/haproxy.cfg");

/// How many are in it.
pub(crate) const INSTANCES: usize = 3;

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
    /// Passes mail to instances that listen at these ports, first for SMTP and then for HTTP. The file is the one that is
    /// shipped, with other addresses in it.
    pub(crate) async fn before(instances: &[(u16, u16); INSTANCES]) -> Self {
        let home = tempfile::Builder::new().prefix("mailferry-haproxy-").tempdir().unwrap();
        let port = free_port();
        let mut text = fs::read_to_string(SHIPPED).unwrap();
        let mut put = |shipped: &str, own: &str| {
            assert!(text.contains(shipped), "{shipped:?} is not in {SHIPPED}");
            text = text.replace(shipped, own);
        };
        put("bind :1025", &format!("bind 127.0.0.1:{port}"));
        put("bind :8025", &format!("bind 127.0.0.1:{}", free_port()));
        for (number, (smtp, http)) in (1..).zip(instances) {
            put(&format!("relay{number}:1025"), &format!("127.0.0.1:{smtp} port {http}"));
            put(&format!("relay{number}:8025"), &format!("127.0.0.1:{http}"));
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
