use super::*;

const LATER: Verdict = Verdict::Temporary { retry_after: None };
const SLOW: Verdict = Verdict::Throttled { retry_after: None };
const SPENT: Verdict = Verdict::Exhausted { until: None };

fn reply(text: &str) -> Reply {
    let (code, text) = text.split_once(' ').unwrap();
    Reply { code: code.parse().unwrap(), text: text.to_owned() }
}

#[test]
fn the_words_of_services_are_understood() {
    use Step::{Answer, Data, Greeting, Login, Recipient, Sender};
    use Verdict::{Bug, Misconfigured, Rejected, Unknown};

    for (step, text, verdict) in [
        // Gmail
        (
            Login,
            "535 5.7.8 Username and Password not accepted. For more information, go to",
            Misconfigured,
        ),
        (Login, "534 5.7.9 Application-specific password required.", Misconfigured),
        (Login, "454 4.7.0 Too many login attempts, please try again later.", SLOW),
        (
            Login,
            "454 4.7.0 Cannot authenticate due to temporary system problem. Try again later.",
            LATER,
        ),
        (Greeting, "421 4.7.0 Try again later, closing connection.", SLOW),
        (Greeting, "421 4.3.0 Temporary System Problem.  Try again later.", LATER),
        (Answer, "421 4.7.28 Our system has detected an unusual rate of mail", SLOW),
        (Answer, "550 5.4.5 Daily user sending limit exceeded. For more information", SPENT),
        (Sender, "550 5.4.5 Daily SMTP relay limit exceeded for user.", SPENT),
        (Recipient, "450 4.2.1 Peak SMTP relay limit exceeded for customer.", SLOW),
        (
            Recipient,
            "450 4.2.1 The user you are trying to contact is receiving mail at a rate that",
            LATER,
        ),
        (
            Recipient,
            "550 5.1.1 The email account that you tried to reach does not exist.",
            Rejected,
        ),
        (Recipient, "552 5.2.2 The email account that you tried to reach is over quota", Rejected),
        (Sender, "530 5.7.0 Must issue a STARTTLS command first.", Misconfigured),
        (Answer, "552 5.3.4 Your message exceeded Google's message size limits.", Rejected),
        (
            Answer,
            "552 5.7.0 This message was blocked because its content presents a potential",
            Rejected,
        ),
        (
            Answer,
            "550 5.7.1 Our system has detected that this message is likely unsolicited mail.",
            Rejected,
        ),
        // Office 365
        (
            Login,
            "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
            Misconfigured,
        ),
        (Login, "535 5.7.3 Authentication unsuccessful", Misconfigured),
        (Sender, "530 5.7.57 Client not authenticated to send mail.", Misconfigured),
        (Login, "432 4.3.2 Concurrent connections limit exceeded.", SLOW),
        (Answer, "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", SLOW),
        (
            Answer,
            "550 5.7.60 SMTP; Client does not have permissions to send as this sender",
            Misconfigured,
        ),
        (
            Answer,
            "554 5.2.252 SendAsDenied; ada@example.org not allowed to send as bob@example.org",
            Misconfigured,
        ),
        (
            Answer,
            "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients",
            SPENT,
        ),
        (Answer, "550 5.7.705 Access denied, tenant has exceeded threshold", SPENT),
        (Answer, "550 5.7.501 Access denied, spam abuse detected.", Misconfigured),
        (Answer, "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException", SPENT),
        (
            Answer,
            "554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException",
            SPENT,
        ),
        (Recipient, "451 4.7.500 Server busy. Please try again later", SLOW),
        // Amazon SES
        (Login, "535 Authentication Credentials Invalid", Misconfigured),
        (
            Answer,
            "554 Message rejected: Email address is not verified. The following identities failed",
            Misconfigured,
        ),
        (Answer, "454 Throttling failure: Maximum sending rate exceeded.", SLOW),
        (Answer, "454 Throttling failure: Daily message quota exceeded.", SPENT),
        (Greeting, "421 Too many concurrent SMTP connections", SLOW),
        (Answer, "451 Temporary service failure", LATER),
        (Data, "452 4.5.3 Too many recipients", LATER),
        // Naver
        (Answer, "554 5.7.1 The sender address is unauthorized abc - nsmtp", Misconfigured),
        // Postfix, Exim, Exchange, sendmail
        (Recipient, "554 5.7.1 <bob@example.net>: Relay access denied", Misconfigured),
        (
            Recipient,
            "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain",
            Misconfigured,
        ),
        (Recipient, "550 relay not permitted", Misconfigured),
        (Recipient, "554 5.7.1 <x[192.0.2.1]>: Client host rejected: Access denied", Misconfigured),
        (
            Recipient,
            "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org",
            Misconfigured,
        ),
        (
            Recipient,
            "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname",
            Misconfigured,
        ),
        (
            Recipient,
            "554 5.7.1 <root@x.org>: Sender address rejected: Access denied",
            Misconfigured,
        ),
        (Recipient, "550 5.1.8 <a@b.invalid>: Sender address rejected: Domain not found", Rejected),
        (
            Answer,
            "550 5.7.1 host mx said: Client host [192.0.2.1] blocked (in reply to RCPT)",
            Rejected,
        ),
        (Answer, "550 5.1.8 Access denied, bad outbound sender AS(42003)", Misconfigured),
        (
            Sender,
            "553 5.7.1 <root@x.org>: Sender address rejected: not owned by user ada",
            Misconfigured,
        ),
        (
            Sender,
            "553 5.1.8 <a@nowhere.invalid>... Domain of sender address does not exist",
            Rejected,
        ),
        (Sender, "501 5.1.7 Bad sender address syntax", Rejected),
        (Sender, "552 5.3.4 Message size exceeds fixed limit", Rejected),
        (Sender, "552 Message size exceeds maximum permitted", Rejected),
        (Sender, "555 5.5.4 Unsupported option", Bug),
        (Sender, "503 5.5.1 nested MAIL command", Bug),
        (Sender, "550 Sender verify failed", Unknown),
        (Sender, "550 5.7.1 Sender rejected", Misconfigured),
        (Recipient, "450 4.2.0 Recipient address rejected: Greylisted", LATER),
        (Recipient, "550 5.1.1 User unknown in virtual mailbox table", Rejected),
        (Recipient, "452 4.5.3 Error: too many recipients", LATER),
        (Recipient, "500 what?", Bug),
        (Data, "554 5.5.1 Error: no valid recipients", Rejected),
        (Data, "502 what?", Bug),
        (Answer, "550 maximum allowed line length is 998 octets, got 1200", Rejected),
        (Answer, "554 5.7.1 Service unavailable; blocked using a list", Rejected),
        (Greeting, "554 no service", Misconfigured),
        (Sender, "354 what?", LATER),
    ] {
        assert_eq!(super::verdict(step, &reply(text)), verdict, "{step}: {text}");
    }
}

#[test]
fn the_words_are_kept_with_their_place() {
    let error = refusal(Step::Login, &reply("535 5.7.8 Username and Password not accepted"));
    assert_eq!(
        error.to_string(),
        "535: 5.7.8 Username and Password not accepted (in reply to AUTH)"
    );
    assert_eq!(
        refusal(Step::Sender, &reply("451 ")).reason,
        "no reason given (in reply to MAIL FROM)"
    );
}

#[test]
fn a_reply_of_several_lines_is_one_text_with_its_code_once() {
    let response: Response =
        "550-5.7.1 Our system\r\n550-5.7.1 has detected\r\n550 5.7.1  that. gsmtp\r\n"
            .parse()
            .unwrap();
    let expected =
        Reply { code: 550, text: "5.7.1 Our system has detected that. gsmtp".to_owned() };
    assert_eq!(Reply::from(response), expected);
    let response: Response = "250-mx\r\n250 ok\r\n".parse().unwrap();
    assert_eq!(Reply::from(response).text, "mx ok");
}

#[test]
fn the_name_of_a_message_is_found() {
    for (text, id) in [
        ("250 2.0.0 Ok: queued as 4F1BxQ7", Some("4F1BxQ7")),
        ("250 OK id=1sXYZq-00A1B2-Cd", Some("1sXYZq-00A1B2-Cd")),
        ("250 Ok 0102018f-3c-000000", Some("0102018f-3c-000000")),
        (
            "250 2.0.0 OK  1732183200 d2e1a72fcca58-724 - gsmtp",
            Some("1732183200 d2e1a72fcca58-724 - gsmtp"),
        ),
        (
            "250 2.6.0 <1@x.org> [InternalId=1, Hostname=x] Queued mail for delivery",
            Some("<1@x.org> [InternalId=1, Hostname=x] Queued mail for delivery"),
        ),
        ("250 2.0.0 Ok: queued as 0198c0de.", Some("0198c0de")),
        ("250 OK", None),
        ("250 2.0.0 Ok", None),
        ("250 ", None),
    ] {
        assert_eq!(reply(text).queue_id().as_deref(), id, "{text}");
    }
    assert!(reply(&format!("250 ok {}", "x".repeat(9999))).queue_id().unwrap().len() < 400);
}
