//! Mail that the app signed with DKIM, and mail whose Message-ID a service replaces.

use mailferry::clock::Timestamp;
use mailferry::message::raw::{RawEdits, losses_of_raw, prepare_raw, with_own_reference};
use mailferry::message::{Email, Envelope, QueueId};

use super::mail;

fn prepare(text: &str) -> (String, Email) {
    let raw = mail(text);
    let email = Email::parse(&raw);
    let id = QueueId::from_bytes([1; 16]);
    let received_at: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
    let edits = RawEdits { id, received_at, envelope: &Envelope::default(), email: &email };
    let out = String::from_utf8(prepare_raw(&raw, &edits).into_owned()).unwrap();
    (out.replace("\r\n", "\n"), email)
}

#[test]
fn fields_that_a_signature_covers_stay_as_they_are() {
    let signed = "DKIM-Signature: v=1; h=From:To:Subject:Date:Message-ID; b=x\nFrom: a@x.org\n\
        To: b@x.org\nTo: c@x.org\nSubject: 1\nSubject: 2\n\nbody\n";
    let (out, email) = prepare(signed);
    assert_eq!(out, signed);
    assert_eq!(losses_of_raw(&mail(signed), &email, &[]), []);
    // What is not covered is mended as ever.
    let loose = signed.replace(":Date:Message-ID", "");
    assert!(prepare(&loose).0.contains("\nDate: "));
}

#[test]
fn what_breaks_a_signature_is_a_slight_loss_with_its_reason() {
    let text =
        "DKIM-Signature: v=1; h=From:Bcc:X-PM-Tag:Date; b=x\nFrom: a@x.org\nBcc: h@x.org\n\nx\n";
    let (out, mut email) = prepare(text);
    assert!(!out.contains("h@x.org"));
    email.from_rewritten = true;
    let losses = losses_of_raw(&mail(text), &email, &["Message-ID", "Date"]);
    assert!(losses.len() == 1 && !losses[0].grave, "{losses:?}");
    for reason in ["sender.rewrite", "Bcc is taken out", "the service writes Date anew"] {
        assert!(losses[0].why.contains(reason), "{losses:?}");
    }
    assert!(!losses[0].why.contains("Message-ID"));
}

#[test]
fn the_own_id_is_added_to_references_of_unsigned_mail_only() {
    let referenced = |text: &str| {
        let raw = mail(text);
        let out = with_own_reference(&raw, &Email::parse(&raw)).into_owned();
        String::from_utf8(out).unwrap().replace("\r\n", "\n")
    };
    assert_eq!(
        referenced("A: 1\nMessage-ID: <m@x>\nIn-Reply-To: <p@x>\n\nReferences: body\n"),
        "A: 1\nReferences: <p@x> <m@x>\nMessage-ID: <m@x>\nIn-Reply-To: <p@x>\n\nReferences: body\n"
    );
    for order in
        ["Message-ID: <m@x>\nREFERENCES: <a@x>\n\n", "REFERENCES: <a@x>\nMessage-ID: <m@x>\n\n"]
    {
        let expected = order.replace("REFERENCES: <a@x>", "REFERENCES: <a@x>\n <m@x>");
        assert_eq!(referenced(order), expected);
    }
    for same in [
        "Subject: no id\n\n",
        "Message-ID: <m@x>\nReferences: <m@x>\n\n",
        "DKIM-Signature: h=from\nMessage-ID: <m@x>\n\n",
        "Message-ID: <m@x>\nContent-Type: multipart/signed; boundary=b\n\n--b\n\nx\n--b--\n",
    ] {
        assert_eq!(referenced(same), same);
    }
}
