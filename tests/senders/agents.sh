#!/usr/bin/env bash
# Writes mail as programs on a Unix machine do when they hand it to sendmail: mutt, s-nail (mail, mailx), MIME::Lite.
# agents.sh FOLDER; Debian's mutt, s-nail and libmime-lite-perl.
set -euo pipefail
folder=$(realpath "$1")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export HOME="$scratch" EMAIL='hong@example.org' LC_ALL=C.UTF-8

# The sendmail of the machine: it keeps what it gets, with the line ends of SMTP.
cat >"$scratch/sendmail" <<SENDMAIL
#!/bin/sh
sed -e 's/\r*\$/\r/' >"\$SENT_TO"
SENDMAIL
chmod +x "$scratch/sendmail"
printf '%%PDF-1.4 not really.' >"$scratch/회의 자료.pdf"
base64 -d >"$scratch/chart.png" <<<'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
cat >"$scratch/muttrc" <<MUTTRC
set sendmail="$scratch/sendmail" realname="홍길동" from="hong@example.org" hostname="desk.example.org" copy=no text_flowed=yes
set send_charset="us-ascii:euc-kr:utf-8" charset="utf-8" use_envelope_from=no
MUTTRC

SENT_TO="$folder/mutt-attachments.eml" mutt -F "$scratch/muttrc" -s '회의 자료와 그림' -c lee@example.com \
    -a "$scratch/회의 자료.pdf" "$scratch/chart.png" -- kim@example.net < <(printf '자료를 보냅니다.\n\n홍\n')
SENT_TO="$folder/mutt-flowed.eml" mutt -F "$scratch/muttrc" -s 'Re: flowed' kim@example.net \
    < <(printf '> quoted words \n> that flow\n\nA line that \nflows on.\n-- \nHong\n')
SENT_TO="$folder/mailx-report.eml" s-nail -S mta="$scratch/sendmail" -S from='root@host.example.org' -S hostname=host.example.org \
    -S ttycharset=UTF-8 -s '백업 끝: 호스트 하나' -a "$scratch/회의 자료.pdf" kim@example.net <<<'백업이 끝났습니다.'
SENT_TO="$folder/mime-lite.eml" perl -MMIME::Lite -e '
    my $m = MIME::Lite->new(From => q(perl@example.org), To => q(kim@example.net), Subject => q(MIME::Lite), Type => q(multipart/mixed),
        Date => q(Sat, 21 Nov 2026 10:00:00 GMT));
    $m->attach(Type => q(TEXT), Data => "Words from Perl.\n");
    $m->attach(Type => q(text/html), Data => "<p>And a page.</p>\n", Encoding => q(8bit));
    $m->attach(Type => q(image/png), Path => $ARGV[0], Id => q(<pic>), Disposition => q(attachment));
    open my $out, q(|-), $ARGV[1] or die; $m->print($out); close $out;' "$scratch/chart.png" "$scratch/sendmail"
