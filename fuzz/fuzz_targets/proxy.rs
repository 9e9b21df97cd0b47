//! Any octets where a PROXY header should be: the same verdict in every cut, never more octets than the header has.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mailferry::smtp::{Origin, ProxyFault, ProxyHeader};

fuzz_target!(|input: &[u8]| {
    let Some((cuts, octets)) = input.split_first_chunk() else { return };
    let cuts = u64::from_le_bytes(*cuts);
    let whole = read(octets, |_| usize::MAX);
    let mut state = cuts;
    let in_pieces = read(octets, |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(state >> 59).expect("five bits") + 1
    });
    assert_eq!(whole, in_pieces);
    if let Ok(Some((used, origin))) = whole {
        let first_line = octets.windows(2).position(|two| two == b"\r\n").map(|at| at + 2);
        if octets.starts_with(b"PROXY ") {
            assert_eq!(Some(used), first_line, "version 1 is one line");
            assert!(!origin.secure, "version 1 knows nothing of TLS");
        }
        assert_eq!(
            read(&octets[..used], |_| 1),
            Ok(Some((used, origin))),
            "nothing behind it counts"
        );
    }
});

/// How many octets the header had and whom it names; `None` while it is not complete.
fn read(
    octets: &[u8],
    mut size: impl FnMut(usize) -> usize,
) -> Result<Option<(usize, Origin)>, ProxyFault> {
    let mut header = ProxyHeader::default();
    let mut at = 0;
    while at < octets.len() {
        let end = octets.len().min(at.saturating_add(size(at)));
        let taken = header.feed(&octets[at..end])?;
        assert!(taken.used <= end - at);
        at += taken.used;
        if let Some(origin) = taken.origin {
            return Ok(Some((at, origin)));
        }
        assert_eq!(at, end, "an incomplete header takes all");
    }
    Ok(None)
}
