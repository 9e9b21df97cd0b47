"""Writes mail as Django apps do: Paperless, NetBox, Sentry, Zulip, Mailman's web pages.

python django_mail.py FOLDER
"""

import base64
import email
import sys
from email.mime.image import MIMEImage
from pathlib import Path

from django.conf import settings
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.mail.utils import DNS_NAME

FOLDER = Path(sys.argv[1])
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
settings.configure(EMAIL_USE_LOCALTIME=True, USE_TZ=True)
DNS_NAME._fqdn = "app.example.org"


def write(name, message):
    content = message.message().as_bytes(linesep="\r\n")
    (FOLDER / f"{name}.eml").write_bytes(content)


def alternatives(subject, text, html, **more):
    message = EmailMultiAlternatives(subject, text, "앱 <app@example.org>", ["김철수 <kim@example.net>"], **more)
    message.attach_alternative(html, "text/html")
    return message


write("django-password-reset", EmailMessage(
    "비밀번호 재설정", "다음 주소를 여세요:\n\nhttps://app.example.org/reset/MQ/abc-def/\n", "webmaster@example.org", ["kim@example.net"]))

write("django-alternatives", alternatives(
    "주간 요약", "요약입니다.\n", "<p>요약입니다.</p>", cc=["lee@example.com"], bcc=["hidden@example.com"],
    reply_to=["desk@example.org", "두 번째 <two@example.org>"],
    headers={"Message-ID": "<week@app.example.org>", "X-SMTPAPI": '{"category": ["weekly"]}', "X-PM-Tag": "weekly"}))

letter = alternatives("그림이 있는 글", "그림\n", '<p><img src="cid:logo"> 그림</p>')
letter.mixed_subtype = "related"
image = MIMEImage(PNG)
image.add_header("Content-ID", "<logo>")
image.add_header("Content-Disposition", "inline", filename="logo.png")
letter.attach(image)
letter.attach("설명서.pdf", b"%PDF-1.4 x", "application/pdf")
write("django-related-root", letter)

letter = EmailMessage("파일", "파일 셋.\n", "app@example.org", ["kim@example.net"])
letter.attach("메모.txt", "한글 글\n", "text/plain")
letter.attach("data.json", '{"이름": "홍길동"}', "application/json")
letter.attach("원본.eml", email.message_from_string("From: x@example.com\nSubject: inner\n\nwords\n"), "message/rfc822")
letter.attach(None, b"\x00\x01\x02", "application/octet-stream")
write("django-attachments", letter)

letter = EmailMessage("Very long lines", "x" * 1200 + "\n" + "é" * 700 + "\n", "app@example.org", ["kim@example.net"])
letter.encoding = "iso-8859-1"
write("django-long-line-latin1", letter)

letter = EmailMessage("HTML", "<p>본문은 HTML 하나뿐.</p>", "app@example.org", ["kim@예시.한국"])
letter.content_subtype = "html"
write("django-html-subtype", letter)
