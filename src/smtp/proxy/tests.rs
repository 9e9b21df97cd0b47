use std::net::SocketAddr;

use proptest::prelude::*;
use proxy_header::{ProxiedAddress, SslInfo};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::*;

fn v2(client: &str, fields: Vec<Tlv<'_>>) -> Vec<u8> {
    let client: SocketAddr = client.parse().unwrap();
    let own = if client.is_ipv4() { "192.0.2.25:25" } else { "[2001:db8::25]:25" };
    let addresses = ProxiedAddress::stream(client, own.parse().unwrap());
    let mut octets = Vec::new();
    ProxyHeader::with_tlvs(Some(addresses), fields).encode_v2(&mut octets).unwrap();
    octets
}

fn tls() -> Tlv<'static> {
    Tlv::Ssl(SslInfo::new(true, false, false, 0))
}

fn read_whole(octets: &[u8]) -> Result<Taken, Fault> {
    Header::default().feed(octets)
}

fn client(address: &str, secure: bool) -> Option<Origin> {
    Some(Origin { client: Some(address.parse().unwrap()), secure })
}

/// The headers that balancers send, and whom they name.
fn headers() -> Vec<(Vec<u8>, Option<Origin>)> {
    let own = Some(Origin::default());
    vec![
        (b"PROXY TCP4 203.0.113.7 192.0.2.25 40000 25\r\n".to_vec(), client("203.0.113.7", false)),
        (b"PROXY TCP6 2001:db8::7 2001:db8::25 1 25\r\n".to_vec(), client("2001:db8::7", false)),
        (b"PROXY TCP6 ::ffff:10.0.0.7 ::1 1 25\r\n".to_vec(), client("10.0.0.7", false)),
        (b"PROXY UNKNOWN\r\n".to_vec(), own),
        (b"PROXY UNKNOWN ff:: ff:: 65535 65535\r\n".to_vec(), own),
        (v2("203.0.113.7:40000", vec![]), client("203.0.113.7", false)),
        (v2("[2001:db8::7]:40000", vec![]), client("2001:db8::7", false)),
        (v2("[::ffff:10.0.0.7]:40000", vec![]), client("10.0.0.7", false)),
        (v2("203.0.113.7:1", vec![Tlv::Noop(40), tls()]), client("203.0.113.7", true)),
        (
            v2("203.0.113.7:1", vec![Tlv::Ssl(SslInfo::new(false, false, false, 0))]),
            client("203.0.113.7", false),
        ),
        (
            v2("203.0.113.7:1", vec![Tlv::Custom(0xEA, vec![1; 300].into()), tls()]),
            client("203.0.113.7", true),
        ),
        ([V2_START, &[0x20, 0x00, 0, 0]].concat(), own),
        // What a balancer says of itself is not to be looked at, a broken address and TLS included.
        ([V2_START, &[0x20, 0x11, 0, 3, 1, 2, 3]].concat(), own),
        // Addresses of no known family, and of UNIX sockets.
        ([V2_START, &[0x21, 0x00, 0, 0]].concat(), own),
        ([V2_START, &[0x21, 0x31, 0, 216], &[7; 216]].concat(), own),
    ]
}

#[test]
fn each_header_names_its_client() {
    for (octets, origin) in headers() {
        let expected = Taken { used: octets.len(), origin };
        assert_eq!(read_whole(&octets), Ok(expected), "{}", octets.escape_ascii());
    }
}

#[test]
fn what_follows_a_header_is_left() {
    for (octets, origin) in headers() {
        for rest in [&b"EHLO client.example\r\n"[..], b"PROXY UNKNOWN\r\n", &[0x16, 3, 1]] {
            let expected = Taken { used: octets.len(), origin };
            assert_eq!(read_whole(&[&octets, rest].concat()), Ok(expected));
        }
    }
}

#[test]
fn what_is_no_header_is_refused_at_its_first_octet_that_differs() {
    for (octets, refused_at) in [
        (&b"EHLO client.example\r\n"[..], 1),
        (b"PROXYTCP4", 6),
        (b"PROMISE", 4),
        (b"proxy TCP4 ", 1),
        (b"\r\n\r\nEHLO", 5),
        (b"\x16\x03\x01", 1),
    ] {
        assert!(read_whole(&octets[..refused_at - 1]).is_ok(), "{}", octets.escape_ascii());
        assert_eq!(read_whole(&octets[..refused_at]), Err(Fault::Absent));
    }
}

#[test]
fn malformed_headers_are_refused() {
    let with = |command: u8, family: u8, rest: &[u8]| {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [V2_START, &[command, family], &length, rest].concat()
    };
    let ends_within_a_field = {
        let mut octets = v2("203.0.113.7:1", vec![tls()]);
        octets.pop();
        let length = u16::try_from(octets.len() - V2_FIXED).unwrap().to_be_bytes();
        octets[14..16].copy_from_slice(&length);
        octets
    };
    for octets in [
        b"PROXY \r\n".to_vec(),
        b"PROXY TCP4 203.0.113.7 192.0.2.25 40000 25\n".to_vec(),
        b"PROXY TCP4 203.0.113.7 192.0.2.25 40000\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.7 192.0.2.25 70000 25\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.7 192.0.2.25 1 25 \r\n".to_vec(),
        b"PROXY TCP4 2001:db8::7 2001:db8::25 1 25\r\n".to_vec(),
        b"PROXY TCP4  203.0.113.7 192.0.2.25 1 25\r\n".to_vec(),
        b"PROXY UDP4 203.0.113.7 192.0.2.25 1 25\r\n".to_vec(),
        b"PROXY TCP4 \xff 192.0.2.25 1 25\r\n".to_vec(),
        with(0x22, 0x11, &[0; 12]),
        with(0x11, 0x11, &[0; 12]),
        with(0x21, 0x41, &[0; 12]),
        with(0x21, 0x12, &[0; 12]),
        with(0x21, 0x11, &[0; 11]),
        with(0x21, 0x21, &[0; 12]),
        with(0x21, 0x31, &[0; 12]),
        ends_within_a_field,
    ] {
        assert_eq!(read_whole(&octets), Err(Fault::Malformed), "{}", octets.escape_ascii());
    }
}

#[test]
fn a_header_has_a_longest_length() {
    let endless = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat();
    assert_eq!(read_whole(&endless[..106]), Ok(Taken { used: 106, origin: None }));
    assert_eq!(read_whole(&endless[..107]), Err(Fault::TooLong));
    let long = [V2_START, &[0x21, 0x11, 0xff, 0xff]].concat();
    assert_eq!(read_whole(&long), Err(Fault::TooLong), "refused before it comes");
    let most = v2("203.0.113.7:1", vec![Tlv::Noop(V2_OCTETS_MAX - V2_FIXED - 12 - 3)]);
    assert_eq!(most.len(), V2_OCTETS_MAX);
    assert!(read_whole(&most).unwrap().origin.is_some());
}

proptest! {
    #[test]
    fn a_header_is_the_same_however_it_is_cut(
        which in 0..headers().len(),
        cuts in prop::collection::vec(1_usize..40, 0..12),
    ) {
        let (octets, origin) = headers().swap_remove(which);
        let all = [&octets[..], b"NOOP\r\n"].concat();
        let mut header = Header::default();
        let mut at = 0;
        let mut cuts = cuts.into_iter();
        let found = loop {
            let end = cuts.next().map_or(all.len(), |length| all.len().min(at + length));
            let taken = header.feed(&all[at..end]).unwrap();
            at += taken.used;
            if taken.origin.is_some() {
                break taken.origin;
            }
            prop_assert_eq!(at, end);
        };
        prop_assert_eq!(found, origin);
        prop_assert_eq!(at, octets.len());
    }

    #[test]
    fn garbage_is_refused_or_waited_for_and_never_more(
        start in prop::sample::select(vec![&b""[..], b"PROXY ", b"PROXY TCP4 ", b"PROXY TCP6 1", V2_START,
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0", b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x40"]),
        rest in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let octets = [start, &rest].concat();
        let whole = read_whole(&octets);
        let mut header = Header::default();
        let mut used = 0;
        let mut single = Ok(None);
        for octet in &octets {
            match header.feed(&[*octet]) {
                Ok(taken) => {
                    used += taken.used;
                    if taken.origin.is_some() {
                        single = Ok(taken.origin);
                        break;
                    }
                }
                Err(fault) => {
                    single = Err(fault);
                    break;
                }
            }
        }
        prop_assert_eq!(whole.map(|taken| taken.origin), single);
        if let Ok(taken) = whole {
            prop_assert_eq!(taken.used, used);
        }
    }
}

/// Both ends of a connection.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

#[tokio::test]
async fn exactly_the_header_is_taken_from_the_socket() {
    for (octets, origin) in headers() {
        for piece in [1, 5, 1000] {
            let (mut client, mut server) = pair().await;
            client.set_nodelay(true).unwrap();
            let sending = tokio::spawn({
                let octets = [&octets[..], b"EHLO x\r\n"].concat();
                async move {
                    for piece in octets.chunks(piece) {
                        client.write_all(piece).await.unwrap();
                    }
                }
            });
            assert_eq!(read(&mut server).await.ok(), origin);
            let mut rest = String::new();
            server.read_to_string(&mut rest).await.unwrap();
            assert_eq!(rest, "EHLO x\r\n");
            sending.await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_connection_that_ends_within_the_header_has_none() {
    let (mut client, mut server) = pair().await;
    client.write_all(b"PROXY TCP4 203").await.unwrap();
    drop(client);
    assert_eq!(read(&mut server).await, Err(Fault::Cut));
}

#[tokio::test(start_paused = true)]
async fn a_header_that_does_not_come_is_not_waited_for_long() {
    let (_client, mut server) = pair().await;
    let begun = tokio::time::Instant::now();
    assert_eq!(read(&mut server).await, Err(Fault::Late));
    assert_eq!(begun.elapsed().as_secs(), 5);
}

#[test]
fn a_header_from_somebody_else_is_recognised_among_commands() {
    for line in [&b"PROXY TCP4 1.2.3.4 1.2.3.4 1 25"[..], b"PROXY UNKNOWN", b"\0"] {
        assert!(is_header(line));
    }
    for line in [&b""[..], b"QUIT", b"PROXY", b"\0\0", b"NOOP PROXY TCP4"] {
        assert!(!is_header(line));
    }
}
