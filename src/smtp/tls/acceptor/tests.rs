use rustls::{ClientConfig, ProtocolVersion, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::TlsConnector;

use super::super::testing::{Files, Pair, TLS12 as ONLY_12, TLS13 as ONLY_13, client, server_name};
use super::*;

/// What came of a handshake between these two, on both sides: the versions and protocols they have agreed on.
async fn shake(
    acceptor: &Acceptor,
    config: ClientConfig,
) -> (Result<(ProtocolVersion, Option<Vec<u8>>), Failure>, io::Result<()>) {
    let (ours, theirs) = duplex(64 * 1024);
    let connecting = async {
        let mut stream =
            TlsConnector::from(Arc::new(config)).connect(server_name(), theirs).await?;
        stream.read_u8().await.map(drop)
    };
    let accepting = async {
        let mut stream = acceptor.accept(ours, Opening::StartTls).await?;
        stream.write_all(b"x").await.unwrap();
        stream.flush().await.unwrap();
        let (_, tls) = stream.get_ref();
        Ok((tls.protocol_version().unwrap(), tls.alpn_protocol().map(<[u8]>::to_vec)))
    };
    tokio::join!(accepting, connecting)
}

/// What the operator reads when a client has sent these octets and waits.
async fn reason(octets: &[u8], opening: Opening) -> String {
    let acceptor = Files::of(&Pair::new()).set_up().acceptor;
    let (ours, mut theirs) = duplex(64 * 1024);
    theirs.write_all(octets).await.unwrap();
    told(acceptor.accept(ours, opening).await.map(drop))
}

fn told(result: Result<(), Failure>) -> String {
    match result {
        Ok(()) => String::from("done"),
        Err(Failure::Gone) => String::from("gone"),
        Err(Failure::Reason(reason)) => reason.into_owned(),
    }
}

/// A ClientHello of this version with these cipher suites, without extensions.
fn hello_of(version: [u8; 2], suites: &[u8], extensions: &[u8]) -> Vec<u8> {
    let length = |octets: &[u8]| u16::try_from(octets.len()).unwrap().to_be_bytes();
    let mut body = [version.as_slice(), &[7; 32], &[0], &length(suites), suites, &[1, 0]].concat();
    if !extensions.is_empty() {
        body.extend_from_slice(&length(extensions));
        body.extend_from_slice(extensions);
    }
    let message = [&[1, 0], length(&body).as_slice(), &body].concat();
    [&[0x16, 3, 1], length(&message).as_slice(), &message].concat()
}

#[tokio::test]
async fn clients_of_either_version_are_served() {
    let pair = Pair::new();
    let acceptor = Files::of(&pair).set_up().acceptor;
    let versions: [(&[&'static SupportedProtocolVersion], _); 3] = [
        (&[&ONLY_12], ProtocolVersion::TLSv1_2),
        (&[&ONLY_13], ProtocolVersion::TLSv1_3),
        (&[&ONLY_12, &ONLY_13], ProtocolVersion::TLSv1_3),
    ];
    for (offered, expected) in versions {
        let (server, client) = shake(&acceptor, client(&pair.der, offered)).await;
        assert_eq!(server.unwrap(), (expected, None));
        client.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_comes_again_needs_no_whole_handshake() {
    let pair = Pair::new();
    let acceptor = Files::of(&pair).set_up().acceptor;
    for version in [&ONLY_12, &ONLY_13] {
        let connector = TlsConnector::from(Arc::new(client(&pair.der, &[version])));
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let (ours, theirs) = duplex(64 * 1024);
            let connecting = async {
                let mut stream = connector.connect(server_name(), theirs).await.unwrap();
                assert_eq!(stream.read_u8().await.unwrap(), b'x');
            };
            let accepting = async {
                let mut stream = acceptor.accept(ours, Opening::Implicit).await.unwrap();
                stream.write_all(b"x").await.unwrap();
                stream.flush().await.unwrap();
                stream.get_ref().1.handshake_kind().unwrap()
            };
            kinds.push(tokio::join!(accepting, connecting).0);
        }
        assert_eq!(kinds[1], rustls::HandshakeKind::Resumed, "{version:?}");
    }
}

#[tokio::test]
async fn what_a_scanner_would_complain_about_is_off() {
    const CBC: [u8; 4] = [0xc0, 0x13, 0x00, 0x2f];
    const RSA_AND_ECDSA: [u8; 12] = [0, 13, 0, 8, 0, 6, 4, 3, 4, 1, 8, 4];
    for (name, version) in [("1.0", [3, 1]), ("1.1", [3, 2])] {
        for extensions in [&RSA_AND_ECDSA[..], &[]] {
            let reason = reason(&hello_of(version, &CBC, extensions), Opening::StartTls).await;
            let expected = "the client knows TLS 1.1 or older only";
            assert!(reason.starts_with(expected), "{name}: {reason}");
        }
    }
    let weak = reason(&hello_of([3, 3], &CBC, &RSA_AND_ECDSA), Opening::StartTls).await;
    assert!(weak.contains("no encryption in common"), "{weak}");

    let acceptor = Files::of(&Pair::new()).set_up().acceptor;
    let mut suites: Vec<String> = acceptor
        .inner
        .config()
        .crypto_provider()
        .cipher_suites
        .iter()
        .map(|suite| format!("{:?}", suite.suite()))
        .collect();
    suites.sort();
    assert_eq!(
        suites,
        [
            "TLS13_AES_128_GCM_SHA256",
            "TLS13_AES_256_GCM_SHA384",
            "TLS13_CHACHA20_POLY1305_SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        ]
    );
}

#[tokio::test]
async fn a_browser_is_not_served() {
    let pair = Pair::new();
    let acceptor = Files::of(&pair).set_up().acceptor;
    let with_names = |names: &[&[u8]]| {
        let mut config = client(&pair.der, &[&ONLY_13]);
        config.alpn_protocols = names.iter().map(|name| name.to_vec()).collect();
        config
    };
    let (server, _) = shake(&acceptor, with_names(&[b"h2", b"http/1.1"])).await;
    let reason = told(server.map(drop));
    assert!(reason.starts_with("the client wants another protocol than SMTP"), "{reason}");
    let (server, client) = shake(&acceptor, with_names(&[b"h2", b"smtp"])).await;
    assert_eq!(server.unwrap().1.unwrap(), b"smtp");
    client.unwrap();
}

#[tokio::test]
async fn a_client_that_does_not_trust_us_is_explained() {
    let acceptor = Files::of(&Pair::new()).set_up().acceptor;
    let (former, authority) = (Pair::new(), Pair::issued().1);
    for version in [&ONLY_12, &ONLY_13] {
        for (trusted, alert) in [(&authority, "UnknownCA"), (&former, "DecryptError")] {
            let (server, _) = shake(&acceptor, client(&trusted.der, &[version])).await;
            let reason = told(server.map(drop));
            assert!(reason.starts_with("the client does not trust the certificate; "), "{reason}");
            assert!(reason.ends_with(&format!("(alert {alert})")), "{reason}");
        }
    }
}

#[tokio::test]
async fn plaintext_instead_of_tls_is_explained() {
    for text in ["EHLO client.example\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "QUIT\r\n"] {
        let implicit = reason(text.as_bytes(), Opening::Implicit).await;
        assert!(implicit.contains("without TLS on a port of smtp.listen_tls"), "{implicit}");
        let after_command = reason(text.as_bytes(), Opening::StartTls).await;
        assert!(after_command.contains("without TLS after STARTTLS"), "{after_command}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_has_an_end() {
    let begun = tokio::time::Instant::now();
    let implicit = reason(b"", Opening::Implicit).await;
    assert_eq!(begun.elapsed(), HANDSHAKE_TIME_MAX);
    assert!(implicit.starts_with("no TLS came for 30 seconds; set the app to"), "{implicit}");
    let half = reason(&hello_of([3, 3], &[0x13, 0x01], &[])[..20], Opening::StartTls).await;
    assert!(half.contains("was not done within 30 seconds"), "{half}");
}

#[tokio::test]
async fn a_client_that_goes_away_is_no_fault() {
    let acceptor = Files::of(&Pair::new()).set_up().acceptor;
    for octets in [&b""[..], &[0x16, 0x03, 0x01, 0x00]] {
        let (ours, mut theirs): (DuplexStream, DuplexStream) = duplex(1024);
        theirs.write_all(octets).await.unwrap();
        drop(theirs);
        assert_eq!(told(acceptor.accept(ours, Opening::Implicit).await.map(drop)), "gone");
    }
}
