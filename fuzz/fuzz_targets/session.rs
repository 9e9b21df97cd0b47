//! Whole connections: what a client sends, pipelined and cut into reads in two different ways, through the real
//! connection with users, limits, DATA and BDAT. Whatever the cuts, the replies and the messages are the same; every
//! reply is well formed; nobody sends who may not; no message holds what it must not.
//!
//! The first octet chooses the conditions, the next two the cuts; the rest is what the client sends.

#![no_main]

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use libfuzzer_sys::fuzz_target;
use mailferry::config::{AuthMode, SenderPattern, UserConfig};
use mailferry::message::{QueueId, Submission};
use mailferry::queue::{Intake, Refusal};
use mailferry::secret::Secret;
use mailferry::smtp::auth::Authenticator;
use mailferry::smtp::{MemoryBudget, Peer, Policy, Service, TlsRule, serve};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

const MESSAGE_SIZE_MAX: u64 = 2048;
const RECIPIENTS_MAX: usize = 3;

fuzz_target!(|input: &[u8]| {
    let [conditions, first, second, client @ ..] = input else { return };
    let conditions = Conditions::from(*conditions);
    let (replies, taken) = played(client, u64::from(*first), conditions);
    judge(&replies, &taken, conditions);
    let (others, others_taken) = played(client, u64::from(*second) << 8 | 0xFF, conditions);
    assert_eq!(String::from_utf8_lossy(&replies), String::from_utf8_lossy(&others));
    assert_eq!(taken.len(), others_taken.len());
    for (one, other) in taken.iter().zip(&others_taken) {
        assert_eq!((&one.envelope, &one.raw), (&other.envelope, &other.raw));
    }
});

#[derive(Clone, Copy)]
struct Conditions {
    trusted: bool,
    secure: bool,
    auth: AuthMode,
    users: bool,
    refuses: bool,
}

impl From<u8> for Conditions {
    fn from(bits: u8) -> Self {
        let users = bits & 8 != 0;
        Self {
            trusted: bits & 1 == 0,
            secure: bits & 2 != 0,
            // One of three: with `provider` there is nobody to ask.
            auth: match (users, bits & 4 != 0) {
                (_, false) => AuthMode::Auto,
                (true, true) => AuthMode::Required,
                (false, true) => AuthMode::Off,
            },
            users,
            refuses: bits & 16 != 0,
        }
    }
}

/// What a connection answers to these octets, and the messages that it took.
fn played(client: &[u8], cuts: u64, conditions: Conditions) -> (Vec<u8>, Vec<Submission>) {
    // The clock stands still unless everybody waits, so that no time limit and no delay costs time.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O");
    let intake = Arc::new(Keeping { taken: Mutex::default(), refuses: conditions.refuses });
    let users = if conditions.users { vec![user()] } else { Vec::new() };
    let policy = Policy {
        hostname: "relay.example".to_owned(),
        max_message_size: MESSAGE_SIZE_MAX,
        max_recipients: RECIPIENTS_MAX,
        tls: TlsRule::Absent,
        auth: conditions.auth,
        has_users: conditions.users,
    };
    let service = Service::new(
        policy,
        Duration::from_secs(300),
        Arc::clone(&intake) as Arc<dyn Intake>,
        Authenticator::new(conditions.auth, users, None),
        Arc::new(MemoryBudget::new(64 << 10)),
        CancellationToken::new(),
    );
    let peer = Peer {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        trusted: conditions.trusted,
        secure: conditions.secure,
    };
    let replies = Rc::new(RefCell::new(Vec::new()));
    let stream = Wire { client, cuts, paused: false, replies: Rc::clone(&replies) };
    runtime.block_on(serve(stream, peer, &service));
    let taken = std::mem::take(&mut *intake.taken.lock().expect("nobody panics"));
    (replies.take(), taken)
}

fn user() -> UserConfig {
    UserConfig {
        username: "u".to_owned(),
        password: Secret::new("p"),
        senders: vec![SenderPattern::Domain("own.example".to_owned())],
        route: None,
        provider_options: true,
    }
}

fn judge(replies: &[u8], taken: &[Submission], conditions: Conditions) {
    let text = std::str::from_utf8(replies).expect("replies are ASCII");
    let mut queued = 0;
    for line in text.split_inclusive("\r\n") {
        let line = line.strip_suffix("\r\n").expect("a reply ends with CRLF");
        assert!(line.len() <= 510, "{line}");
        assert!(line.bytes().all(|octet| (0x20..0x7F).contains(&octet)), "{line:?}");
        let (code, rest) = line.split_at(3);
        assert!(code.bytes().all(|octet| octet.is_ascii_digit()), "{line}");
        assert!(rest.starts_with([' ', '-']), "{line}");
        queued += usize::from(line.contains("queued as"));
    }
    assert_eq!(queued, taken.len(), "every message has its 250, and no other 250 says so");
    for message in taken {
        let recipients = &message.envelope.recipients;
        assert!((1..=RECIPIENTS_MAX).contains(&recipients.len()));
        let sender = message.envelope.sender.iter();
        assert!(!sender.chain(recipients).any(|it| it.as_str().contains(char::is_control)));
        // A bare line feed becomes two octets, and the limit is on what is kept.
        assert!(message.raw.len() as u64 <= MESSAGE_SIZE_MAX);
        let needs_login = !conditions.trusted || conditions.auth == AuthMode::Required;
        assert!(!needs_login || message.user.as_deref() == Some("u"), "a stranger has sent");
        if message.user.is_some()
            && let Some(sender) = &message.envelope.sender
        {
            assert!(sender.is_of_domain("own.example"), "{sender:?}");
        }
    }
}

/// Takes every message, or refuses every one.
struct Keeping {
    taken: Mutex<Vec<Submission>>,
    refuses: bool,
}

#[async_trait]
impl Intake for Keeping {
    async fn accept(&self, submission: Submission) -> Result<QueueId, Refusal> {
        if self.refuses {
            return Err(Refusal::NoRoom("full\r\n250 2.0.0 no".to_owned()));
        }
        self.taken.lock().expect("nobody panics").push(submission);
        Ok(QueueId::from_bytes([7; 16]))
    }
}

/// A client that has said all there is, in reads of changing sizes, with pauses between some; then it closes.
struct Wire<'a> {
    client: &'a [u8],
    cuts: u64,
    paused: bool,
    replies: Rc<RefCell<Vec<u8>>>,
}

impl AsyncRead for Wire<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.paused = !self.paused && self.cuts & 1 == 1;
        if self.paused {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.cuts = self
            .cuts
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let size = match self.cuts >> 62 {
            0 => 1,
            1 => usize::try_from(self.cuts >> 58 & 15).expect("four bits") + 1,
            2 => 64,
            _ => usize::MAX,
        };
        let size = size.min(self.client.len()).min(buffer.remaining());
        let (now, later) = self.client.split_at(size);
        buffer.put_slice(now);
        self.client = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.replies.borrow_mut().extend_from_slice(octets);
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
