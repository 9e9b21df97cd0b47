//! TLS over sockets.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;

use lettre::transport::smtp::client::{Certificate, Tls as Encryption, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::testing::Recorder;
use super::super::tls::testing::{Files, Pair, TLS12, TLS13, client, connector, server_name};
use super::super::tls::{Reload, Tls};
use super::tests::config;
use super::*;
use crate::config::TlsConfig;

/// A listener with a port of either kind.
struct Running {
    files: Files,
    plain: SocketAddr,
    implicit: SocketAddr,
    connections: Arc<AtomicUsize>,
    intake: Arc<Recorder>,
    reload: Reload,
    control: Control,
    shutdown: CancellationToken,
    ended: JoinHandle<()>,
    watching: JoinHandle<()>,
}

impl Running {
    fn with(pair: &Pair, change: impl FnOnce(&mut SmtpConfig)) -> Self {
        let files = Files::of(pair);
        let mut config = config();
        config.listen_tls = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
        config.tls = files.config();
        change(&mut config);
        let Tls { acceptor, watch } = files.set_up();
        let watch = watch.unwrap();
        let listener = Listener::open(
            &config,
            String::from("relay.example"),
            Some(acceptor),
            Inherited::default(),
        )
        .unwrap();
        let [("smtp", plain), ("smtps", implicit)] = listener.protocols()[..] else {
            panic!("{:?}", listener.protocols());
        };
        assert_eq!(listener.addresses(), [plain, implicit]);
        let connections = listener.connections();
        let intake = Arc::new(Recorder::open());
        let memory = Arc::new(MemoryBudget::new(16 << 20));
        let shutdown = CancellationToken::new();
        let reload = watch.reload();
        let watching = tokio::spawn(watch.run(shutdown.clone()));
        let as_intake = Arc::clone(&intake) as Arc<dyn Intake>;
        let (control, serving) = listener.start(as_intake, None, memory, shutdown.clone());
        let ended = tokio::spawn(serving);
        Self {
            files,
            plain,
            implicit,
            connections,
            intake,
            reload,
            control,
            shutdown,
            ended,
            watching,
        }
    }

    async fn encrypted(&self, connector: &TlsConnector) -> io::Result<Client> {
        let stream = TcpStream::connect(self.implicit).await.unwrap();
        Ok(Client(BufReader::new(connector.connect(server_name(), stream).await?)))
    }

    async fn stop(self) -> Arc<Recorder> {
        self.shutdown.cancel();
        self.ended.await.unwrap();
        self.watching.await.unwrap();
        assert_eq!(self.connections.load(Ordering::Relaxed), 0);
        self.intake
    }
}

#[derive(Debug)]
struct Client(BufReader<TlsStream<TcpStream>>);

impl Client {
    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        line
    }
}

#[tokio::test]
async fn clients_of_either_version_deliver_on_either_port() {
    let pair = Pair::new();
    let running = Running::with(&pair, |_| {});
    let envelope = "HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n";
    for version in [&TLS12, &TLS13] {
        let connector = TlsConnector::from(Arc::new(client(&pair.der, &[version])));
        let mut implicit = running.encrypted(&connector).await.unwrap();
        assert!(implicit.line().await.starts_with("220 relay.example ESMTP"));

        let mut plain = BufReader::new(TcpStream::connect(running.plain).await.unwrap());
        let mut line = String::new();
        plain.read_line(&mut line).await.unwrap();
        plain.write_all(b"STARTTLS\r\n").await.unwrap();
        plain.read_line(&mut line).await.unwrap();
        assert!(line.lines().nth(1).unwrap().starts_with("220 2.0.0"), "{line}");
        let stream = connector.connect(server_name(), plain.into_inner()).await.unwrap();
        for mut client in [implicit, Client(BufReader::new(stream))] {
            client.send(&format!("{envelope}fine\r\n.\r\nQUIT\r\n")).await;
            let mut rest = String::new();
            // Fails where the server ends without having said so by TLS.
            client.0.read_to_string(&mut rest).await.unwrap();
            assert!(rest.contains("250 2.0.0 Ok: queued as "), "{rest}");
        }
    }
    assert_eq!(running.stop().await.contents(), ["fine\r\n"; 4]);
}

#[tokio::test]
async fn the_proxy_header_comes_before_the_handshake() {
    let pair = Pair::new();
    let running = Running::with(&pair, |config| {
        config.proxy_networks = vec!["127.0.0.1/32".parse().unwrap()];
    });
    let mut stream = TcpStream::connect(running.implicit).await.unwrap();
    stream.write_all(b"PROXY TCP4 10.1.2.3 192.0.2.25 40000 465\r\n").await.unwrap();
    let connector = TlsConnector::from(Arc::new(client(&pair.der, &[&TLS13])));
    let stream = connector.connect(server_name(), stream).await.unwrap();
    let mut client = Client(BufReader::new(stream));
    client
        .send("HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\nhi\r\n.\r\nQUIT\r\n")
        .await;
    let mut rest = String::new();
    client.0.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("250 2.0.0 Ok: queued as "), "{rest}");
    let taken = running.stop().await.taken();
    assert_eq!(taken[0].peer, Some("10.1.2.3".parse().unwrap()));
}

#[tokio::test]
async fn lettre_delivers_by_starttls_and_by_implicit_tls() {
    // Its name is checked, so it has to be one that resolves.
    let pair = Pair::with(|params| {
        let address = IpAddr::from([127, 0, 0, 1]);
        params.subject_alt_names = vec![rcgen::SanType::IpAddress(address)];
    });
    let running = Running::with(&pair, |config| config.tls.required = true);
    let message = Message::builder()
        .from("Ada <ada@example.org>".parse().unwrap())
        .to("Bob <bob@example.net>".parse().unwrap())
        .subject("x")
        .body(String::from("y"))
        .unwrap();
    let trusted = Certificate::from_pem(pair.certificate.as_bytes()).unwrap();
    let parameters = TlsParameters::builder(String::from("127.0.0.1"))
        .add_root_certificate(trusted)
        .build_rustls()
        .unwrap();
    for (address, encryption) in [
        (running.plain, Encryption::Required(parameters.clone())),
        (running.implicit, Encryption::Wrapper(parameters.clone())),
    ] {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1")
            .port(address.port())
            .tls(encryption)
            .build();
        let response = transport.send(message.clone()).await.unwrap();
        assert!(response.first_line().unwrap().starts_with("2.0.0 Ok: queued as "));
        transport.shutdown().await;
    }
    assert_eq!(running.stop().await.taken().len(), 2);
}

#[tokio::test]
async fn a_renewed_certificate_is_for_those_who_come_after() {
    let (old, new) = (Pair::new(), Pair::new());
    let running = Running::with(&old, |_| {});
    let mut before = running.encrypted(&connector(&old.der)).await.unwrap();
    assert!(before.line().await.starts_with("220 "));

    // A bad pair changes nothing, whenever it is looked at.
    running.files.write_texts(&new.certificate, &old.key);
    running.reload.ask();
    for _ in 0..20 {
        assert!(running.encrypted(&connector(&old.der)).await.is_ok());
    }

    running.files.write(&new);
    running.reload.ask();
    let mut renewed = None;
    for _ in 0..1000 {
        renewed = running.encrypted(&connector(&new.der)).await.ok();
        if renewed.is_some() {
            break;
        }
    }
    assert!(renewed.unwrap().line().await.starts_with("220 "));
    assert!(running.encrypted(&connector(&old.der)).await.is_err());

    before.send("HELO x\r\nNOOP\r\n").await;
    assert!(before.line().await.starts_with("250 relay.example"));
    assert!(before.line().await.starts_with("250 2.0.0"));
    drop(before);
    running.stop().await;
}

#[tokio::test]
async fn a_client_without_tls_on_the_port_of_tls_is_cut_off() {
    let running = Running::with(&Pair::new(), |_| {});
    for text in ["EHLO client.example\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let mut stream = TcpStream::connect(running.implicit).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A reset is an end as well.
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty() || answer.starts_with(&[0x15, 3]), "an alert: {answer:?}");
    }
    assert!(running.stop().await.taken().is_empty());
}

#[tokio::test]
async fn a_client_within_the_handshake_holds_a_seat() {
    let running = Running::with(&Pair::new(), |config| {
        config.max_connections = NonZeroUsize::MIN;
    });
    let dawdler = TcpStream::connect(running.implicit).await.unwrap();
    // The server sees it when it comes to it.
    for _ in 0..10_000 {
        if running.connections.load(Ordering::Relaxed) == 1 {
            break;
        }
        tokio::task::yield_now().await;
    }
    let mut refused = String::new();
    let mut other = TcpStream::connect(running.plain).await.unwrap();
    other.read_to_string(&mut refused).await.unwrap();
    assert!(refused.starts_with("421 4.3.2 "), "{refused}");
    drop(dawdler);
    running.stop().await;
}

#[tokio::test]
async fn encryption_that_cannot_be_had_is_an_error() {
    let with = |change: fn(&mut SmtpConfig)| {
        let mut config = config();
        change(&mut config);
        config
    };
    for (config, key) in [
        (
            with(|config| config.tls = TlsConfig { required: true, ..TlsConfig::default() }),
            "smtp.tls.required",
        ),
        (with(|config| config.listen_tls = config.listen.clone()), "smtp.listen_tls"),
    ] {
        let error =
            Listener::open(&config, String::from("x"), None, Inherited::default()).unwrap_err();
        assert_eq!(error.key, key);
        assert!(error.to_string().contains("needs a certificate"), "{error}");
    }
}

#[tokio::test]
async fn a_port_of_tls_that_is_taken_is_named() {
    let pair = Pair::new();
    let running = Running::with(&pair, |_| {});
    let mut config = config();
    config.listen_tls = vec![running.implicit];
    let acceptor = running.files.set_up().acceptor;
    let error = Listener::open(&config, String::from("x"), Some(acceptor), Inherited::default())
        .unwrap_err();
    assert_eq!((error.key, error.source.kind()), ("smtp.listen_tls", io::ErrorKind::AddrInUse));
    running.stop().await;
}

#[tokio::test]
async fn another_certificate_is_for_new_connections_and_none_leaves_the_port_of_tls_its_own() {
    let (first, second) = (Pair::new(), Pair::new());
    let roomy = |config: &mut SmtpConfig| {
        let seats = NonZeroUsize::new(20).unwrap();
        (config.max_connections, config.max_connections_per_ip) = (seats, seats);
    };
    let running = Running::with(&first, roomy);
    let mut early = running.encrypted(&connector(&first.der)).await.unwrap();
    assert!(early.line().await.starts_with("220"));

    let other = Files::of(&second);
    let mut bare = config();
    roomy(&mut bare);
    let changed = SmtpConfig { tls: other.config(), ..bare.clone() };
    let acceptor = other.set_up().acceptor;
    let rules = |config: &SmtpConfig, tls| {
        Rules::new(config, String::from("relay.example"), tls, false).unwrap()
    };
    running.control.change(rules(&changed, Some(acceptor)), None, None);
    assert!(running.encrypted(&connector(&first.der)).await.is_err(), "the old one is shown");
    let mut late = running.encrypted(&connector(&second.der)).await.unwrap();
    assert!(late.line().await.starts_with("220"));
    early.send("NOOP\r\n").await;
    assert!(early.line().await.starts_with("250"));

    running.control.change(rules(&bare, None), None, None);
    let mut still = running.encrypted(&connector(&second.der)).await.unwrap();
    assert!(still.line().await.starts_with("220"));
    let mut plain = BufReader::new(TcpStream::connect(running.plain).await.unwrap());
    plain.write_all(b"STARTTLS\r\n").await.unwrap();
    let mut lines = String::new();
    plain.read_line(&mut lines).await.unwrap();
    plain.read_line(&mut lines).await.unwrap();
    assert!(lines.lines().nth(1).unwrap().starts_with("502 "), "{lines}");
    running.stop().await;
}
