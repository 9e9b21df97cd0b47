//! No room and no store: mail is refused for now, nothing is half-written, and it goes on when there is room again.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::support::fake::{Behaviour, FakeProvider};
use crate::support::relay::{Relay, Setup};
use crate::support::smtp::{Mail, Session};
use crate::support::tool;
use crate::support::wait;

/// A mail of this many octets, so that a small disk is soon full.
const TEXT_BYTES: usize = 64 * 1024;

/// Sends until the relay has no room; the subjects that had their 250, oldest first.
async fn fill(relay: &Relay, name: &str) -> Vec<String> {
    let mut session = Session::open(relay.smtp).await.unwrap();
    let mut taken = Vec::new();
    for number in 0..1000 {
        let subject = format!("{name}-{number}");
        let mail = Mail::with_text(&subject, &"x".repeat(TEXT_BYTES));
        let reply = session.send(&mail).await.unwrap();
        if reply.code == 250 {
            taken.push(subject);
            continue;
        }
        assert_eq!(reply.code, 452, "{reply:?}");
        assert!(reply.text.starts_with("4.3.1 "), "{reply:?}");
        return taken;
    }
    panic!("{} mails fit on a full disk", taken.len());
}

/// There is room again: mail is taken, and everything that was ever acknowledged leaves, each once.
async fn assert_recovers(relay: &Relay, fake: &FakeProvider, mut taken: Vec<String>) {
    let mail = Mail::about("after-the-flood");
    let mut session = Session::open(relay.smtp).await.unwrap();
    wait::until("mail is taken again", async || {
        (session.send(&mail).await.unwrap().code == 250).then_some(())
    })
    .await;
    taken.push("after-the-flood".to_owned());
    fake.behave(Behaviour::Normal);
    let count = taken.len();
    wait::until_true("everything leaves", || fake.mail_count() >= count).await;
    wait::until("nothing waits any more", async || {
        let queue = &relay.http.health().await["queue"];
        (queue["queued"] == 0 && queue["sending"] == 0).then_some(())
    })
    .await;
    let mut left: Vec<String> = fake.mails().iter().map(|mail| mail.subject().to_owned()).collect();
    left.sort();
    taken.sort();
    assert_eq!(left, taken, "what left is not what was acknowledged");
}

/// A relay that keeps all it gets, because its provider does not answer.
fn setup(fake: &FakeProvider) -> Setup {
    fake.behave(Behaviour::answer(503, "{}"));
    Setup::resend(fake)
}

#[tokio::test]
async fn a_store_that_may_not_grow_refuses_for_now_and_recovers() {
    let name = "a_store_that_may_not_grow_refuses_for_now_and_recovers";
    if !tool::present(name, &["prlimit", "env"]) {
        return;
    }
    let fake = FakeProvider::resend().await;
    // The limit is on every file, and the signal that comes with it is ignored: the write fails with EFBIG.
    let limited = ["env", "--ignore-signal=XFSZ", "prlimit", "--fsize=2097152:unlimited", "--"];
    let relay = setup(&fake).through(&limited).start().await;
    let taken = fill(&relay, "limited").await;
    assert!(!taken.is_empty());
    assert_eq!(fill(&relay, "limited-still").await.len(), 0);

    let pid = relay.pid().to_string();
    let mut lift = Command::new("prlimit");
    tool::succeed(lift.args(["--pid", &pid, "--fsize=unlimited:unlimited"]), b"").await;
    assert_recovers(&relay, &fake, taken).await;
}

/// A small file system in memory, unmounted when it is dropped.
struct SmallDisk {
    folder: PathBuf,
    /// Keeps the mount point until the end.
    _home: tempfile::TempDir,
}

impl SmallDisk {
    /// `None` where mounting is not allowed.
    async fn mount(size: &str) -> Option<Self> {
        let home = tempfile::Builder::new().prefix("mailferry-disk-").tempdir().unwrap();
        let folder = home.path().join("disk");
        std::fs::create_dir(&folder).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&folder);
        let done = tool::run(&mut mount, b"").await.status.success();
        done.then_some(Self { folder, _home: home })
    }

    fn path(&self) -> &Path {
        &self.folder
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazy: a relay that is being killed may hold a file open a moment longer.
        let unmount = std::process::Command::new("umount").arg("--lazy").arg(&self.folder).status();
        drop(unmount);
    }
}

#[tokio::test]
async fn a_full_disk_refuses_for_now_and_recovers() {
    let name = "a_full_disk_refuses_for_now_and_recovers";
    if !tool::present(name, &["mount", "umount"]) {
        return;
    }
    let Some(disk) = SmallDisk::mount("4m").await else {
        tool::skip(name, "a small file system cannot be mounted (needs root)");
        return;
    };
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![0; 1024 * 1024]).unwrap();
    let fake = FakeProvider::resend().await;
    let store = format!("sqlite:{}", disk.path().join("mailferry.db").display());
    let relay = setup(&fake).set("queue.url", &store).start().await;
    let taken = fill(&relay, "full").await;
    assert!(!taken.is_empty());
    assert_eq!(fill(&relay, "still-full").await.len(), 0);
    assert_eq!(relay.http.get("/api/v1/messages").await.status, 200, "a full disk can be read");

    std::fs::remove_file(&ballast).unwrap();
    assert_recovers(&relay, &fake, taken).await;
    drop(relay);
}

#[tokio::test]
async fn a_crash_on_a_full_disk_loses_nothing_that_was_acknowledged() {
    let name = "a_crash_on_a_full_disk_loses_nothing_that_was_acknowledged";
    if !tool::present(name, &["mount", "umount"]) {
        return;
    }
    let Some(disk) = SmallDisk::mount("4m").await else {
        tool::skip(name, "a small file system cannot be mounted (needs root)");
        return;
    };
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![0; 1024 * 1024]).unwrap();
    let fake = FakeProvider::resend().await;
    let store = format!("sqlite:{}", disk.path().join("mailferry.db").display());
    let relay = setup(&fake).set("queue.url", &store).start().await;
    let taken = fill(&relay, "full").await;
    let setup = relay.kill_9().await;
    std::fs::remove_file(&ballast).unwrap();
    let relay = setup.start().await;
    assert_recovers(&relay, &fake, taken).await;
}

#[tokio::test]
async fn a_queue_at_its_limit_refuses_for_now() {
    let fake = FakeProvider::resend().await;
    let relay = setup(&fake).set("queue.max_messages", "3").start().await;
    let taken = fill(&relay, "limit").await;
    assert_eq!(taken.len(), 3);
    fake.behave(Behaviour::Normal);
    assert_recovers(&relay, &fake, taken).await;
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_is_named_at_the_start() {
    let fake = FakeProvider::resend().await;
    for path in ["/proc/mailferry/mailferry.db", "/dev/null/mailferry.db"] {
        let setup = Setup::resend(&fake).set("queue.url", &format!("sqlite:{path}"));
        let output = setup.run_to_end().await;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!output.status.success(), "{said}");
        assert!(said.contains(path), "the error does not name the store: {said}");
    }
}
