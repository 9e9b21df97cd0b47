use super::*;
use crate::smtp::input::Line;
use crate::smtp::session::tests::session_of;
use crate::smtp::session::{COMMANDS_MAX, FAULTS_MAX, Step};

const MAIL: &str = "MAIL FROM:<ada@example.org>";
const RCPT: &str = "RCPT TO:<bob@example.net>";

fn greeted() -> Session {
    let mut session = session_of(true);
    code(&mut session, "EHLO client.example");
    session
}

/// A session whose transaction waits for content.
fn addressed() -> Session {
    let mut session = greeted();
    assert_eq!(code(&mut session, MAIL), 250);
    assert_eq!(code(&mut session, RCPT), 250);
    session
}

fn step(session: &mut Session, line: &str) -> Step {
    session.handle(Line::Command(line.as_bytes()))
}

/// The code of a reply that no content comes before.
fn code(session: &mut Session, line: &str) -> u16 {
    match step(session, line) {
        Step::Reply(reply) | Step::Refuse(reply) | Step::Close(reply) => reply.code(),
        step => panic!("{line}: {step:?}"),
    }
}

/// The size of the chunk, and what becomes of it: `keep`, `complete`, or the refusal.
fn chunk(session: &mut Session, line: &str) -> (u64, String) {
    match step(session, line) {
        Step::ReadChunk(Chunk { size, fate }) => match fate {
            ChunkFate::Keep => (size, String::from("keep")),
            ChunkFate::Complete(_) => (size, String::from("complete")),
            ChunkFate::Discard(reply) => (size, reply.to_string().chars().take(9).collect()),
        },
        step => panic!("{line}: {step:?}"),
    }
}

#[test]
fn chunks_are_kept_and_the_last_hands_over_the_transaction() {
    let mut session = addressed();
    assert_eq!(chunk(&mut session, "BDAT 300"), (300, "keep".into()));
    assert!(session.in_transaction());
    assert_eq!(session.chunk_read(300, &Body::chunked(10, None, false)).code(), 250);
    assert_eq!(chunk(&mut session, "BDAT 0"), (0, "keep".into()));
    let Step::ReadChunk(Chunk { size: 700, fate: ChunkFate::Complete(transaction) }) =
        step(&mut session, "BDAT 700 LAST")
    else {
        panic!("the message is whole");
    };
    assert_eq!(transaction.envelope.recipients.len(), 1);
    assert!(!session.in_transaction() && session.transaction().is_none());
    assert_eq!(chunk(&mut session, "BDAT 1 LAST"), (1, "503 5.5.1".into()));
    assert_eq!(code(&mut session, MAIL), 250);
}

#[test]
fn between_chunks_nothing_else_belongs_to_the_transaction() {
    let mut session = addressed();
    chunk(&mut session, "BDAT 3");
    for line in ["DATA", RCPT, MAIL] {
        assert_eq!(code(&mut session, line), 503, "{line}");
    }
    assert_eq!(code(&mut session, "NOOP"), 250);
    assert_eq!(chunk(&mut session, "BDAT 0 LAST"), (0, "complete".into()));
}

#[test]
fn hello_and_reset_between_chunks_drop_them() {
    for line in ["RSET", "EHLO again", "HELO again"] {
        let mut session = addressed();
        chunk(&mut session, "BDAT 3");
        assert_eq!(code(&mut session, line), 250);
        assert!(session.transaction().is_none(), "{line}");
        assert_eq!(chunk(&mut session, "BDAT 3 LAST"), (3, "503 5.5.1".into()), "{line}");
    }
}

#[test]
fn without_a_transaction_octets_are_content_all_the_same() {
    let mut session = greeted();
    assert_eq!(chunk(&mut session, "BDAT 7"), (7, "503 5.5.1".into()));
    code(&mut session, MAIL);
    assert_eq!(chunk(&mut session, "BDAT 8"), (8, "503 5.5.1".into()), "nobody to send it to");
    // The first chunk is lost: what follows it must not become a message.
    assert_eq!(code(&mut session, RCPT), 503);
    assert_eq!(chunk(&mut session, "BDAT 9 LAST"), (9, "503 5.5.1".into()));
}

#[test]
fn beyond_the_limit_every_chunk_is_refused_up_to_the_last() {
    let mut session = addressed();
    assert_eq!(chunk(&mut session, "BDAT 1000"), (1000, "keep".into()));
    for line in ["BDAT 1", "BDAT 0", "BDAT 999999999999999"] {
        assert_eq!(chunk(&mut session, line).1, "552 5.3.4", "{line}");
        assert!(session.in_transaction(), "its time is counted");
    }
    assert_eq!(chunk(&mut session, "BDAT 1 LAST").1, "552 5.3.4");
    assert!(!session.in_transaction());
    assert_eq!(chunk(&mut session, "BDAT 1 LAST").1, "503 5.5.1");
}

#[test]
fn the_first_refusal_is_told_until_the_client_begins_anew() {
    for anew in ["RSET", "EHLO again", MAIL] {
        let mut session = addressed();
        chunk(&mut session, "BDAT 3");
        let mut body = Body::chunked(1000, None, false);
        body.discard();
        assert_eq!(session.chunk_read(3, &body), Reply::NO_MEMORY);
        assert_eq!(chunk(&mut session, "BDAT 3").1, "452 4.3.1");
        assert_eq!(code(&mut session, "NOOP"), 250);
        assert_eq!(chunk(&mut session, "BDAT 3").1, "452 4.3.1");
        assert_eq!(code(&mut session, anew), 250);
        if anew != MAIL {
            assert_eq!(chunk(&mut session, "BDAT 3").1, "503 5.5.1");
            code(&mut session, MAIL);
        }
        code(&mut session, RCPT);
        assert_eq!(chunk(&mut session, "BDAT 3 LAST").1, "complete");
    }
}

#[test]
fn sizes_do_not_wrap() {
    let mut session = addressed();
    chunk(&mut session, "BDAT 999");
    assert_eq!(chunk(&mut session, "BDAT 999999999999999").1, "552 5.3.4");
}

#[test]
fn binary_content_comes_in_chunks_only() {
    let mut session = greeted();
    code(&mut session, "MAIL FROM:<ada@example.org> BODY=BINARYMIME");
    code(&mut session, RCPT);
    assert_eq!(code(&mut session, "DATA"), 503);
    let Step::ReadChunk(Chunk { fate: ChunkFate::Complete(transaction), .. }) =
        step(&mut session, "BDAT 3 LAST")
    else {
        panic!("the message is whole");
    };
    assert!(transaction.binary);
}

#[test]
fn chunks_without_a_transaction_are_errors_and_have_an_end() {
    let mut session = greeted();
    for _ in 1..FAULTS_MAX {
        assert_eq!(chunk(&mut session, "BDAT 5").1, "503 5.5.1");
    }
    assert_eq!(code(&mut session, "BDAT 5"), 421);
}

#[test]
fn empty_chunks_have_an_end_and_others_are_bounded_by_the_size() {
    let mut session = addressed();
    for _ in 0..1000 {
        assert_eq!(chunk(&mut session, "BDAT 1").1, "keep");
    }
    assert!(session.commands < 10, "{}", session.commands);
    for _ in 0..COMMANDS_MAX {
        if let Step::Close(reply) = step(&mut session, "BDAT 0") {
            assert_eq!(reply, Reply::TOO_MANY_COMMANDS);
            return;
        }
    }
    panic!("empty chunks without an end");
}
