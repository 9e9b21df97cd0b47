//! Messages that every provider carries without loss, and that need no edit on their way.

use super::Sample;

/// All of them, each a message as a program writes it, lines ended by LF here.
pub(crate) fn faithful() -> Vec<Sample> {
    let bob: &[&str] = &["bob@example.net"];
    vec![
        Sample::new("plain", bob, PLAIN),
        Sample::new("two bodies in Korean", &["kim@example.net"], KOREAN),
        Sample::new("html alone", bob, HTML),
        Sample::new(
            "copies, hidden copies and a reply address",
            &["bob@example.net", "hidden@example.net", "jane@example.com", "second@example.net"],
            COPIES,
        ),
        Sample::new("two reply addresses", bob, REPLIES),
        Sample::new("threading and list headers", bob, LIST),
        Sample::new("an inline image, a Korean file name, an invitation", bob, FILES),
    ]
}

/// A letter with everything at once, and with these header fields, lines ended by LF.
pub(crate) fn whole(fields: &str) -> Sample {
    let recipients = [
        "kim@example.net",
        "bob@example.net",
        "jane@example.com",
        "hidden@example.net",
        "veiled@example.com",
    ];
    Sample::new("everything at once", &recipients, &format!("{fields}{WHOLE}"))
}

const WHOLE: &str = "\
From: Ada <ada@example.org>
To: =?utf-8?B?6rmA7LKg7IiY?= <kim@example.net>, Bob <bob@example.net>
Cc: \"Jane Q Doe\" <jane@example.com>
Reply-To: Help Desk <help@example.org>
Subject: =?utf-8?B?7JWI64WV7ZWY7IS47JqU?= & \"welcome\"
Date: Sat, 21 Nov 2026 10:00:00 +0000
Message-ID: <whole@example.org>
References: <0@example.org>
X-Campaign: spring 2026
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=outer

--outer
Content-Type: multipart/related; boundary=related

--related
Content-Type: multipart/alternative; boundary=inner

--inner
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: base64

7YWN7Iqk7Yq4DQo=
--inner
Content-Type: text/html; charset=utf-8

<p>Hello <img src=\"cid:logo@oratio\"></p>

--inner--

--related
Content-Type: image/png; name=logo.png
Content-Disposition: inline; filename=logo.png
Content-ID: <logo@oratio>
Content-Transfer-Encoding: base64

iVBORw0KGgoA/w==
--related--

--outer
Content-Type: application/pdf
Content-Disposition: attachment; filename=report.pdf
Content-Transfer-Encoding: base64

JVBERi0xLjcKJeLjz9M=
--outer--
";

const PLAIN: &str = "\
From: Ada <ada@example.org>
To: Bob <bob@example.net>
Subject: Tea
Date: Sat, 21 Nov 2026 10:00:00 +0000
Message-ID: <1@example.org>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8

Five o'clock?
";

const KOREAN: &str = "\
From: =?utf-8?B?7Jik65287Yuw7JikIOyVjOumvA==?= <notice@oratio.example>
To: =?utf-8?B?6rmA7LKg7IiY?= <kim@example.net>
Subject: =?utf-8?B?7JWI64WV7ZWY7IS47JqUIOKYlSA=?=
 =?utf-8?B?7KO866y47J20IOygkeyImOuQmOyXiOyKteuLiOuLpA==?=
Date: Sat, 21 Nov 2026 19:00:00 +0900
Message-ID: <korean@oratio.example>
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary=\"=_two\"

--=_two
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: base64

7YWN7Iqk7Yq4DQrrkZAg67KI7Ke4IOykhA0K
--=_two
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: quoted-printable

<p>\"=EA=B7=B8=EB=A6=BC\" &amp; =EA=B8=80 =F0=9F=98=80</p>
--=_two--
";

const HTML: &str = "\
From: Ada <ada@example.org>
To: Bob <bob@example.net>
Subject: Tea
Date: Sat, 21 Nov 2026 10:00:00 +0000
Message-ID: <html@example.org>
MIME-Version: 1.0
Content-Type: text/html; charset=us-ascii

<p>x</p>
";

const COPIES: &str = "\
From: Ada <ada@example.org>
To: Bob <bob@example.net>, second@example.net
Cc: \"Jane Q Doe\" <jane@example.com>
Reply-To: Help Desk <help@example.org>
Subject: Tea
Date: Sat, 21 Nov 2026 10:00:00 +0000
Message-ID: <copies@example.org>

Five o'clock?
";

const REPLIES: &str = "\
From: Ada <ada@example.org>
To: Bob <bob@example.net>
Reply-To: a@example.org,
 B <b@example.org>
Subject: Tea
Date: Sat, 21 Nov 2026 10:00:00 +0000
Message-ID: <replies@example.org>

Five o'clock?
";

const LIST: &str = "\
From: Ada <ada@example.org>
To: Bob <bob@example.net>
Subject: Re: Tea
Message-ID: <2@example.org>
In-Reply-To: <1@example.org>
References: <0@example.org>
 <1@example.org>
Date: Sat, 21 Nov 2026 10:00:00 +0000
List-Unsubscribe: <https://example.org/u>,
 <mailto:u@example.org>
List-Unsubscribe-Post: List-Unsubscribe=One-Click
Auto-Submitted: auto-generated
Precedence: bulk
X-Note: =?utf-8?B?7ZWc6rWt7Ja0?=

Six.
";

const FILES: &str = "\
From: Ada <ada@example.org>
To: Bob <bob@example.net>
Subject: Files
Date: Sat, 21 Nov 2026 10:00:00 +0000
Message-ID: <files@example.org>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=outer

--outer
Content-Type: multipart/related; boundary=inner

--inner
Content-Type: text/html; charset=utf-8

<img src=\"cid:logo@oratio\">
--inner
Content-Type: image/png; name=logo.png
Content-Disposition: inline; filename=logo.png
Content-ID: <logo@oratio>
Content-Transfer-Encoding: base64

iVBORw0KGgoA/w==
--inner--

--outer
Content-Type: application/pdf
Content-Disposition: attachment;
 filename*=utf-8''%EB%B3%B4%EA%B3%A0%EC%84%9C%202026.pdf
Content-Transfer-Encoding: base64

JVBERi0xLjcKJeLjz9M=
--outer
Content-Type: text/calendar; method=REQUEST; name=invite.ics
Content-Disposition: attachment; filename=invite.ics

BEGIN:VCALENDAR
END:VCALENDAR

--outer
Content-Type: application/x-own-format
Content-Disposition: attachment; filename=blob
Content-Transfer-Encoding: base64

AA==
--outer--
";
