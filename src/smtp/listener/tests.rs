use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lettre::message::{Attachment, MultiPart, SinglePart, header::ContentType};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use super::super::door::Networks;
use super::super::testing::Recorder;
use super::*;
use crate::config::{AuthMode, Size, TlsConfig, trusted_networks};
use crate::message::Address;

mod change;
mod flood;
mod proxied;

pub(super) fn config() -> SmtpConfig {
    SmtpConfig {
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        hostname: String::new(),
        max_message_size: Size(1 << 20),
        max_recipients: NonZeroUsize::new(10).unwrap(),
        max_connections: NonZeroUsize::new(3).unwrap(),
        max_connections_per_ip: NonZeroUsize::new(2).unwrap(),
        idle_timeout: Duration::from_secs(60),
        trusted_networks: trusted_networks(),
        auth: AuthMode::Auto,
        listen_tls: Vec::new(),
        proxy_networks: Vec::new(),
        tls: TlsConfig::default(),
        users: Vec::new(),
    }
}

struct Running {
    address: SocketAddr,
    addresses: Vec<SocketAddr>,
    connections: Arc<AtomicUsize>,
    intake: Arc<Recorder>,
    control: Control,
    shutdown: CancellationToken,
    ended: JoinHandle<()>,
}

impl Running {
    fn with(config: &SmtpConfig) -> Self {
        let listener =
            Listener::open(config, String::from("relay.example"), None, Inherited::default())
                .unwrap();
        let addresses = listener.addresses();
        let connections = listener.connections();
        let intake = Arc::new(Recorder::open());
        let memory = Arc::new(MemoryBudget::new(16 << 20));
        let shutdown = CancellationToken::new();
        let as_intake = Arc::clone(&intake) as Arc<dyn Intake>;
        let (control, serving) = listener.start(as_intake, None, memory, shutdown.clone());
        let ended = tokio::spawn(serving);
        Self { address: addresses[0], addresses, connections, intake, control, shutdown, ended }
    }

    async fn connect(&self) -> Client {
        Client(BufStream::new(TcpStream::connect(self.address).await.unwrap()))
    }

    /// From another address of this machine: 127.0.0.`last`.
    async fn connect_from(&self, last: u8) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
        Client(BufStream::new(socket.connect(self.address).await.unwrap()))
    }

    /// Waits until as many connections are open as a test has left open.
    async fn until_open(&self, count: usize) {
        for _ in 0..100_000 {
            if self.connections.load(Ordering::Relaxed) == count {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{} connections are open", self.connections.load(Ordering::Relaxed));
    }

    async fn stop(self) -> Arc<Recorder> {
        self.shutdown.cancel();
        self.ended.await.unwrap();
        assert_eq!(self.connections.load(Ordering::Relaxed), 0);
        self.intake
    }
}

struct Client(BufStream<TcpStream>);

impl Client {
    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// The next line; empty when the connection is closed.
    async fn line(&mut self) -> String {
        let mut line = String::new();
        // A reset is an end as well.
        let _ = self.0.read_line(&mut line).await;
        line
    }

    async fn expect(&mut self, starts: &[&str]) {
        for start in starts {
            let line = self.line().await;
            assert!(line.starts_with(start), "expected {start:?}, got {line:?}");
        }
    }

    async fn expect_end(&mut self) {
        assert_eq!(self.line().await, "");
    }
}

#[tokio::test]
async fn lettre_delivers_what_it_composed() {
    let running = Running::with(&config());
    let message = Message::builder()
        .from("에이다 <ada@example.org>".parse().unwrap())
        .to("Bob <bob@example.net>".parse().unwrap())
        .bcc("hidden@example.net".parse().unwrap())
        .subject("안녕하세요")
        .multipart(
            MultiPart::mixed()
                .multipart(MultiPart::alternative_plain_html(
                    String::from(".\r\n.dot\r\n..two dots\r\nplain"),
                    String::from("<p>.html</p>"),
                ))
                .singlepart(SinglePart::plain(String::from("a line\r\n.\r\nand another\r\n.")))
                .singlepart(
                    Attachment::new(String::from("문서.bin"))
                        .body(vec![0_u8; 200_000], ContentType::parse("application/x-y").unwrap()),
                ),
        )
        .unwrap();
    let transport: AsyncSmtpTransport<Tokio1Executor> =
        AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1")
            .port(running.address.port())
            .build();
    for _ in 0..2 {
        let response = transport.send(message.clone()).await.unwrap();
        assert!(response.first_line().unwrap().starts_with("2.0.0 Ok: queued as "));
    }
    transport.shutdown().await;
    let taken = running.stop().await.taken();
    assert_eq!(taken.len(), 2);
    for submission in taken {
        let recipients: Vec<&str> =
            submission.envelope.recipients.iter().map(Address::as_str).collect();
        assert_eq!(submission.envelope.sender_text(), "ada@example.org");
        assert_eq!(recipients, ["bob@example.net", "hidden@example.net"]);
        assert_eq!(submission.peer, Some(IpAddr::from([127, 0, 0, 1])));
        // lettre ends every message with one CRLF more.
        let expected = [message.formatted().as_slice(), b"\r\n"].concat();
        assert!(submission.raw == expected, "the content differs");
    }
}

#[tokio::test]
async fn connections_are_limited_by_address_and_counted() {
    let running = Running::with(&config());
    let mut first = running.connect().await;
    let mut second = running.connect().await;
    assert!(first.line().await.starts_with("220 relay.example ESMTP"));
    assert!(second.line().await.starts_with("220 "));
    assert_eq!(running.connections.load(Ordering::Relaxed), 2);
    let mut third = running.connect().await;
    assert!(third.line().await.starts_with("421 4.7.0 "));
    assert_eq!(third.line().await, "");
    first.send("QUIT\r\n").await;
    assert!(first.line().await.starts_with("221 "));
    assert_eq!(first.line().await, "");
    // The seat is free as soon as the server's side is done, which the client cannot see.
    let mut greeted = false;
    for _ in 0..1000 {
        let mut next = running.connect().await;
        greeted = next.line().await.starts_with("220 ");
        if greeted {
            break;
        }
    }
    assert!(greeted);
    running.stop().await;
}

#[tokio::test]
async fn connections_are_limited_in_all() {
    let mut config = config();
    config.max_connections = NonZeroUsize::MIN;
    let running = Running::with(&config);
    let mut first = running.connect().await;
    assert!(first.line().await.starts_with("220 "));
    let mut second = running.connect().await;
    assert!(second.line().await.starts_with("421 4.3.2 "));
    running.stop().await;
}

#[tokio::test]
async fn a_stranger_may_not_send() {
    let mut config = config();
    config.trusted_networks = vec!["192.0.2.0/24".parse().unwrap()];
    let running = Running::with(&config);
    let mut client = running.connect().await;
    client.send("HELO x\r\nMAIL FROM:<ada@example.org>\r\nQUIT\r\n").await;
    for start in ["220 ", "250 ", "550 5.7.1 ", "221 "] {
        assert!(client.line().await.starts_with(start), "{start}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_fault_in_one_connection_harms_no_other() {
    let running = Running::with(&config());
    let mut unlucky = running.connect().await;
    let mut other = running.connect().await;
    let envelope = "HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n";
    unlucky.send(&format!("{envelope}panic\r\n.\r\n")).await;
    let mut rest = String::new();
    unlucky.0.read_to_string(&mut rest).await.unwrap();
    assert!(rest.lines().last().unwrap().starts_with("354 "), "no promise is made: {rest}");
    other.send(&format!("{envelope}fine\r\n.\r\nQUIT\r\n")).await;
    rest.clear();
    other.0.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("250 2.0.0 Ok: queued as "), "{rest}");
    assert_eq!(running.stop().await.contents(), ["fine\r\n"]);
}

#[tokio::test]
async fn a_tls_handshake_on_the_plain_port_is_cut_off() {
    let running = Running::with(&config());
    let mut client = running.connect().await;
    client.0.write_all(&[0x16, 0x03, 0x01, 0x00, 0xf4, 0x01, 0x00]).await.unwrap();
    client.0.flush().await.unwrap();
    assert!(client.line().await.starts_with("220 "));
    assert!(client.line().await.starts_with("421 4.7.0 "));
    assert_eq!(client.line().await, "");
    drop(client);
    running.stop().await;
}

#[tokio::test]
async fn stopping_ends_idle_clients_and_closes_the_port() {
    let running = Running::with(&config());
    let address = running.address;
    let mut client = running.connect().await;
    assert!(client.line().await.starts_with("220 "));
    running.stop().await;
    assert!(client.line().await.starts_with("421 4.3.2 "));
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let first = Listener::open(&config(), String::from("x"), None, Inherited::default()).unwrap();
    let mut config = config();
    config.listen = first.addresses();
    let error = Listener::open(&config, String::from("x"), None, Inherited::default()).unwrap_err();
    assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&config.listen[0].to_string()), "{error}");
}

#[tokio::test]
async fn every_address_of_the_list_is_served() {
    let mut config = config();
    config.listen.push(SocketAddr::from(([127, 0, 0, 2], 0)));
    let mut running = Running::with(&config);
    for address in running.addresses.clone() {
        running.address = address;
        running.connect().await.expect(&["220 relay.example"]).await;
    }
    running.stop().await;
}

#[tokio::test]
async fn sockets_that_are_handed_over_come_in_place_of_the_addresses() {
    let handed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = handed.local_addr().unwrap();
    let inherited = Inherited { plain: vec![handed], tls: Vec::new() };
    let listener = Listener::open(&config(), String::from("x"), None, inherited).unwrap();
    assert_eq!(listener.addresses(), [address]);
}

#[test]
fn trust_is_a_matter_of_networks() {
    let networks = Networks { trusted: trusted_networks(), proxies: Vec::new() };
    for inside in ["127.0.0.1", "10.1.2.3", "172.31.0.1", "::1", "fd00::1", "fe80::1"] {
        assert!(networks.trusts(inside.parse().unwrap()), "{inside}");
    }
    for outside in ["192.0.2.1", "172.32.0.1", "2001:db8::1"] {
        assert!(!networks.trusts(outside.parse().unwrap()), "{outside}");
    }
    let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
    assert!(networks.trusts(mapped.to_canonical()));
}
