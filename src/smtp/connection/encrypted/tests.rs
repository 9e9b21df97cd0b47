use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream as ClientStream;
use tokio_util::sync::CancellationToken;

use super::super::STRANGER_IDLE_MAX;
use super::*;
use crate::config::AuthMode;
use crate::queue::Intake;
use crate::smtp::auth::Authenticator;
use crate::smtp::memory::MemoryBudget;
use crate::smtp::session::{Policy, TlsRule};
use crate::smtp::testing::Recorder;
use crate::smtp::tls::testing::{Files, Pair, connector, server_name};

const IDLE: Duration = Duration::from_secs(300);
const PEER: Peer = Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), trusted: true, secure: false };
const ENVELOPE: &str = "MAIL FROM:<ada@example.org>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n";

/// A server's side with a certificate, and who has to trust it.
struct Bench {
    pair: Pair,
    service: Arc<Service>,
    intake: Arc<Recorder>,
    peer: Peer,
}

impl Bench {
    fn new(rule: TlsRule) -> Self {
        let pair = Pair::new();
        let intake = Arc::new(Recorder::open());
        let policy = Policy {
            hostname: String::from("relay.example"),
            max_message_size: 4 << 20,
            max_recipients: 100,
            tls: rule,
            auth: AuthMode::Auto,
            has_users: false,
        };
        let service = Service {
            policy: Arc::new(policy),
            idle_timeout: IDLE,
            intake: Arc::clone(&intake) as Arc<dyn Intake>,
            authenticator: Authenticator::new(AuthMode::Auto, Vec::new(), None),
            tls: Some(Files::of(&pair).set_up().acceptor),
            memory: Arc::new(MemoryBudget::new(16 << 20)),
            notices: Arc::default(),
            arrivals: Default::default(),
            shutdown: CancellationToken::new(),
        };
        Self { pair, service: Arc::new(service), intake, peer: PEER }
    }

    /// A client on a port that begins in plaintext, and what serves it.
    fn plain(&self) -> (Client<DuplexStream>, JoinHandle<()>) {
        let (client, server) = duplex(64 * 1024);
        let (service, peer) = (Arc::clone(&self.service), self.peer);
        let served = tokio::spawn(async move { serve(server, peer, &service).await });
        (Client(client), served)
    }

    /// A client on a port of implicit TLS, after the handshake.
    async fn implicit(&self) -> (Client<ClientStream<DuplexStream>>, JoinHandle<()>) {
        let (client, server) = duplex(64 * 1024);
        let service = Arc::clone(&self.service);
        let served = tokio::spawn(async move {
            let acceptor = service.tls.as_ref().unwrap();
            serve_tls(server, acceptor, PEER, &service).await;
        });
        (Client(self.shake(client).await), served)
    }

    async fn shake(&self, stream: DuplexStream) -> ClientStream<DuplexStream> {
        connector(&self.pair.der).connect(server_name(), stream).await.unwrap()
    }

    /// Through the greeting, these lines and STARTTLS, up to the handshake; `behind` goes out with it in one write.
    async fn before_handshake(
        &self,
        before: &[(&str, &str)],
        behind: &str,
    ) -> (Client<DuplexStream>, JoinHandle<()>) {
        let (mut client, served) = self.plain();
        client.expect("220 relay.example ESMTP").await;
        for (line, reply) in before {
            client.send(&format!("{line}\r\n")).await;
            client.expect(reply).await;
        }
        client.send(&format!("STARTTLS\r\n{behind}")).await;
        client.expect("220 2.0.0 ").await;
        (client, served)
    }

    /// The same with the handshake.
    async fn upgraded(
        &self,
        before: &[(&str, &str)],
        behind: &str,
    ) -> (Client<ClientStream<DuplexStream>>, JoinHandle<()>) {
        let (client, served) = self.before_handshake(before, behind).await;
        (Client(self.shake(client.0).await), served)
    }
}

struct Client<S>(S);

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// The last line of the next reply; empty at the end.
    async fn reply(&mut self) -> String {
        let mut text = Vec::new();
        while let Ok(octet) = self.0.read_u8().await {
            text.push(octet);
            if text.ends_with(b"\r\n") {
                if text.get(3) != Some(&b'-') {
                    break;
                }
                text.clear();
            }
        }
        String::from_utf8(text).unwrap()
    }

    async fn expect(&mut self, start: &str) {
        let reply = self.reply().await;
        assert!(reply.starts_with(start), "expected {start:?}, got {reply:?}");
    }

    /// Nothing more comes, and over TLS the server has said so: otherwise this would be an error.
    async fn expect_end(mut self) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"");
    }
}

#[tokio::test(start_paused = true)]
async fn the_dialogue_begins_anew_after_starttls() {
    let bench = Bench::new(TlsRule::Offered);
    let before = [
        ("EHLO client.example", "250 "),
        ("MAIL FROM:<eve@example.org>", "250 2.1.0"),
        ("RCPT TO:<eve@example.net>", "250 2.1.5"),
    ];
    let (mut client, served) = bench.upgraded(&before, "").await;
    client.send("DATA\r\nMAIL FROM:<ada@example.org>\r\nEHLO client.example\r\n").await;
    client.expect("503 5.5.1 Say EHLO first").await;
    client.expect("503 5.5.1 Say EHLO first").await;
    client.expect("250 ").await;
    client.send("STARTTLS\r\n").await;
    client.expect("503 5.5.1 TLS is active").await;
    client.send(&format!("{ENVELOPE}sealed\r\n.\r\nQUIT\r\n")).await;
    for start in ["250 2.1.0", "250 2.1.5", "354 ", "250 2.0.0 Ok: queued as", "221 "] {
        client.expect(start).await;
    }
    client.expect_end().await;
    served.await.unwrap();
    let taken = bench.intake.taken();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].envelope.sender_text(), "ada@example.org");
}

#[tokio::test(start_paused = true)]
async fn what_comes_in_plaintext_with_starttls_is_thrown_away() {
    let bench = Bench::new(TlsRule::Offered);
    let injected = format!("EHLO evil.example\r\n{ENVELOPE}injected\r\n.\r\nNOOP\r\nNO");
    let (mut client, served) = bench.upgraded(&[("EHLO x", "250 ")], &injected).await;
    // The one reply is that to the first line over TLS; half a line is not continued either.
    client.send("OP\r\n").await;
    client.expect("500 5.5.2 ").await;
    client.send("MAIL FROM:<ada@example.org>\r\nQUIT\r\n").await;
    client.expect("503 5.5.1 Say EHLO first").await;
    client.expect("221 ").await;
    client.expect_end().await;
    served.await.unwrap();
    assert!(bench.intake.taken().is_empty());
}

#[tokio::test(start_paused = true)]
async fn plaintext_between_starttls_and_the_handshake_ends_the_connection() {
    for injected in ["NOOP\r\n", &format!("EHLO x\r\n{ENVELOPE}injected\r\n.\r\n"), "Q"] {
        let bench = Bench::new(TlsRule::Offered);
        let (mut client, served) = bench.before_handshake(&[], "").await;
        // A later segment: the server's buffer has been thrown away before it comes.
        client.send(injected).await;
        let shaken = connector(&bench.pair.der).connect(server_name(), client.0).await;
        assert!(shaken.is_err(), "{injected:?}");
        served.await.unwrap();
        assert!(bench.intake.taken().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn tls_may_begin_with_the_first_octet() {
    let bench = Bench::new(TlsRule::Offered);
    let (mut client, served) = bench.implicit().await;
    client.expect("220 relay.example ESMTP").await;
    client.send("STARTTLS\r\nHELO x\r\n").await;
    client.expect("503 5.5.1 TLS is active").await;
    client.expect("250 relay.example").await;
    let content = "0123456789abcdef\r\n".repeat(60_000);
    // The pipe is smaller than the content: what is written must be read meanwhile.
    client.send(&format!("{ENVELOPE}{content}.\r\nQUIT\r\n")).await;
    for start in ["250 2.1.0", "250 2.1.5", "354 ", "250 2.0.0 Ok: queued as", "221 "] {
        client.expect(start).await;
    }
    client.expect_end().await;
    served.await.unwrap();
    assert_eq!(bench.intake.contents(), [content]);
}

#[tokio::test(start_paused = true)]
async fn mail_waits_for_tls_where_it_is_required() {
    let bench = Bench::new(TlsRule::Required);
    for hello in ["EHLO x", "HELO x"] {
        let refused =
            [(hello, "250"), ("MAIL FROM:<ada@example.org>", "530 5.7.0 "), ("NOOP", "250 ")];
        let (mut client, served) = bench.upgraded(&refused, "").await;
        client.send(&format!("{hello}\r\n{ENVELOPE}safe\r\n.\r\nQUIT\r\n")).await;
        for start in ["250 ", "250 2.1.0", "250 2.1.5", "354 ", "250 2.0.0", "221 "] {
            client.expect(start).await;
        }
        client.expect_end().await;
        served.await.unwrap();
    }
    let (mut client, served) = bench.implicit().await;
    client.expect("220 ").await;
    client.send("EHLO x\r\nMAIL FROM:<>\r\nQUIT\r\n").await;
    for start in ["250 ", "250 2.1.0", "221 "] {
        client.expect(start).await;
    }
    client.expect_end().await;
    served.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn silence_over_tls_is_answered_and_ended() {
    let bench = Bench::new(TlsRule::Offered);
    let (mut client, served) = bench.upgraded(&[], "").await;
    let begun = Instant::now();
    client.expect("421 4.4.2 ").await;
    assert_eq!(begun.elapsed().as_secs(), IDLE.as_secs());
    client.expect_end().await;
    served.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stranger_who_says_nothing_over_tls_has_no_more_time_than_before() {
    let stranger = Peer { trusted: false, ..PEER };
    let bench = Bench { peer: stranger, ..Bench::new(TlsRule::Offered) };
    let (mut client, served) = bench.upgraded(&[], "").await;
    let begun = Instant::now();
    client.expect("421 4.4.2 ").await;
    assert_eq!(begun.elapsed(), STRANGER_IDLE_MAX);
    client.expect_end().await;
    served.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn silence_instead_of_a_handshake_is_ended_sooner() {
    let bench = Bench::new(TlsRule::Offered);
    let (client, served) = bench.before_handshake(&[], "").await;
    let begun = Instant::now();
    served.await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 30);
    client.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn shutting_down_does_not_wait_for_a_handshake() {
    let bench = Bench::new(TlsRule::Offered);
    let (client, served) = bench.before_handshake(&[], "").await;
    let begun = Instant::now();
    bench.service.shutdown.cancel();
    served.await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(10));
    client.expect_end().await;

    let bench = Bench::new(TlsRule::Offered);
    let (mut client, served) = bench.upgraded(&[], "").await;
    bench.service.shutdown.cancel();
    client.expect("421 4.3.2 ").await;
    client.expect_end().await;
    served.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_may_vanish_or_say_goodbye_by_tls() {
    let bench = Bench::new(TlsRule::Offered);
    let (client, served) = bench.upgraded(&[], "").await;
    drop(client);
    served.await.unwrap();

    // It closes its half and still hears that nothing was cut off.
    let (mut client, served) = bench.implicit().await;
    client.expect("220 ").await;
    client.0.shutdown().await.unwrap();
    client.expect_end().await;
    served.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_small() {
    let bench = Bench::new(TlsRule::Offered);
    let acceptor = bench.service.tls.as_ref().unwrap();
    let (_, server) = duplex(1);
    let plain = size_of_val(&serve(server, PEER, &bench.service));
    let (_, server) = duplex(1);
    let encrypted = size_of_val(&serve_tls(server, acceptor, PEER, &bench.service));
    assert!(plain <= 3072 && encrypted <= 3072, "{plain} and {encrypted} octets");
}
