//! Messages that some provider carries with a loss, or in another shape.

use super::Sample;

/// All of them, lines ended by LF here.
pub(crate) fn awkward() -> Vec<Sample> {
    let bob: &[&str] = &["bob@example.net"];
    vec![
        Sample::new(
            NOTHING_ADDED_YET,
            bob,
            "From: Ada <ada@example.org>\nTo: Bob <bob@example.net>\n\n",
        ),
        Sample::new("empty bodies", bob, EMPTY),
        Sample::new("hidden recipient alone", &["hidden@example.net"], PLAIN),
        Sample::new(
            "two hidden recipients alone",
            &["h@example.net", "i@example.net"],
            UNDISCLOSED,
        ),
        Sample::new("copy alone", &["c@example.net", "d@example.net"], COPY),
        Sample::new(
            "the same address three times",
            &["bob@example.net", "BOB@example.net", "bob@EXAMPLE.net"],
            REPEATED,
        ),
        Sample::new(
            "names and domains that need care",
            &["kim@예시.한국", "\"a b\"@example.net"],
            NAMES,
        ),
        Sample::new(
            "headers that may not travel",
            &["bob@example.net", "hidden@example.net"],
            HEADERS,
        ),
        Sample::new("files that need care", bob, FILES),
        Sample::new("parts that are too deep", bob, &deep()),
        many(),
    ]
}

/// The message that has neither Date nor Message-ID nor anything else.
pub(crate) const NOTHING_ADDED_YET: &str = "nothing but recipients";

const PLAIN: &str = "\
From: Ada <ada@example.org>
To: Bob <bob@example.net>
Subject: Tea
Date: Sat, 21 Nov 2026 10:00:00 +0000
Message-ID: <1@example.org>

Five o'clock?
";

const EMPTY: &str = "\
From: Ada <ada@example.org>
To: Bob <bob@example.net>
Subject: Tea
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary=b

--b
Content-Type: text/plain

--b
Content-Type: text/html

--b--
";

const UNDISCLOSED: &str = "\
From: Ada <ada@example.org>
To: undisclosed-recipients:;
Subject: Tea

Five o'clock?
";

const COPY: &str = "\
From: Ada <ada@example.org>
Cc: c@example.net, D <d@example.net>
Subject: Tea

Five o'clock?
";

const REPEATED: &str = "\
From: Ada <ada@example.org>
To: Bob <bob@example.net>
Cc: Bob again <BOB@example.net>
Reply-To: r@example.org, R@example.org
Subject: Tea

Five o'clock?
";

const NAMES: &str = "\
From: \"Doe, \\\"J\\\" \\\\ (Sales); Ltd.\" <j@예시.한국>
Sender: =?utf-8?B?67SH?= <bot@example.org>
To: \"a;b,c\" <kim@예시.한국>, =?utf-8?Q?x=0D=0Ay?= <\"a b\"@example.net>
Subject: =?utf-8?Q?two=0D=0Alines?=

Five o'clock?
";

const HEADERS: &str = "\
Received: from us by us
From: Ada <ada@example.org>
To: Bob <bob@example.net>
Bcc: <hidden@example.net>
Return-Path: <bounce@example.org>
Subject: Tea
x-sg-eid: 1
X-SMTPAPI: {}
X-SES-CONFIGURATION-SET: x
X-Tag: a
x-tag: b
Bad Name: x
X-Number: 12

Five o'clock?
";

const FILES: &str = "\
From: Ada <ada@example.org>
To: Bob <bob@example.net>
Subject: Files
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: multipart/alternative; boundary=c

--c
Content-Type: text/plain

Five o'clock?
--c
Content-Type: text/x-amp-html

<html amp4email></html>
--c--
--b
Content-Type: text/plain; name=empty.txt
Content-Disposition: attachment; filename=empty.txt

--b
Content-Type: text/csv
Content-Disposition: attachment; filename=data.txt

a,b
--b
Content-Type: image/jpeg
Content-Disposition: attachment; filename=photo
Content-Transfer-Encoding: base64

/9g=
--b
Content-Disposition: attachment; filename=a.pdf

x
--b
Content-Type: image/png
Content-Disposition: inline; filename=x.png

x
--b--
";

/// A hundred multiparts, one within the other.
fn deep() -> String {
    let level = |n: usize| format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n");
    let levels: String = (0..100).map(level).collect();
    format!(
        "From: Ada <ada@example.org>\nTo: Bob <bob@example.net>\nSubject: Deep\nMIME-Version: 1.0\n{levels}\n\
         Five o'clock?\n"
    )
}

/// More hidden recipients than any call of Resend or SES takes.
fn many() -> Sample {
    let hidden = (1..120).map(|n| format!("r{n}@example.org"));
    let all: Vec<String> = std::iter::once("bob@example.net".to_owned()).chain(hidden).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    Sample::new("a hundred and twenty recipients", &all, PLAIN)
}
