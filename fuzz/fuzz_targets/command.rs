//! Any octets as a command line: a command whose parts are clean, or a fault whose reply is one clean line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mailferry::message::Address;
use mailferry::smtp::{Command, Reply};

fuzz_target!(|line: &[u8]| {
    match Command::parse(line) {
        Ok(Command::Mail { sender, parameters }) => {
            sender.as_ref().into_iter().for_each(assert_reads_as_itself);
            assert_printable(parameters.envelope_id.as_deref().unwrap_or_default());
        }
        Ok(Command::Rcpt(recipient)) => {
            assert_reads_as_itself(&recipient.address);
            if let Some(original) = &recipient.original {
                assert_printable(&original.address_type);
                assert_printable(&original.address);
            }
        }
        Ok(Command::Ehlo(text) | Command::Helo(text)) => {
            assert!(!text.contains(char::is_control) && text.is_ascii(), "{text:?}");
        }
        Ok(_) => {}
        Err(fault) => assert_clean(&fault.into()),
    }
});

fn assert_reads_as_itself(address: &Address) {
    assert_printable(address.as_str());
    assert_eq!(address.as_str().parse().as_ref(), Ok(address));
}

/// What was decoded must not make lines of its own, wherever it is shown.
fn assert_printable(text: &str) {
    assert!(!text.contains(char::is_control), "{text:?}");
}

/// One reply line that a client reads as one.
fn assert_clean(reply: &Reply) {
    let mut wire = Vec::new();
    reply.encode(&mut wire);
    let text = wire.strip_suffix(b"\r\n").expect("a reply ends with CRLF");
    assert!(text.len() <= 510 && text.iter().all(|octet| (0x20..0x7F).contains(octet)), "{reply}");
    assert!((400..600).contains(&reply.code()), "{reply}");
}
