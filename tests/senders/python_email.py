"""Writes mail as Python scripts do: by email.message, and by the older email.mime, in charsets of many countries.

python python_email.py FOLDER
"""

import base64
import sys
from email import charset as charsets
from email import encoders, policy
from email.header import Header
from email.headerregistry import Address, Group
from email.message import EmailMessage
from email.mime.application import MIMEApplication
from email.mime.base import MIMEBase
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path

FOLDER = Path(sys.argv[1])
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
OLD = policy.compat32.clone(linesep="\r\n")
DATE = "Sat, 21 Nov 2026 19:00:00 +0900"


def write(name, message, rules=policy.SMTP):
    if "Message-ID" not in message:
        message["Message-ID"] = f"<{name}@py.example.org>"
    message["Date"] = DATE
    (FOLDER / f"{name}.eml").write_bytes(message.as_bytes(policy=rules))


def modern(subject, to="kim@example.net"):
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = Address("홍길동", "hong", "example.org")
    message["To"] = to
    message["Subject"] = subject
    return message


# The new interface, one charset each.
for name, charset, words in [
    ("py-euc-kr", "euc-kr", "안녕하세요, 뷁은 없습니다.\n"),
    ("py-cp949", "cp949", "똠방각하 펲시콜라\n"),
    ("py-iso-2022-kr", "iso-2022-kr", "한글 메일 ABC 끝\n"),
    ("py-iso-2022-jp", "iso-2022-jp", "こんにちは、カタカナと漢字。\n"),
    ("py-shift-jis", "shift_jis", "表示ソフト、ABC\n"),
    ("py-euc-jp", "euc-jp", "日本語の本文\n"),
    ("py-gb18030", "gb18030", "你好,𠀀 生僻字\n"),
    ("py-hz", "hz", "你好 ~ hz\n"),
    ("py-big5", "big5", "許功蓋 繁體中文\n"),
    ("py-koi8-r", "koi8-r", "Привет, мир\n"),
    ("py-koi8-u", "koi8-u", "Їжак ґанок\n"),
    ("py-windows-1251", "windows-1251", "Съешь ещё «булок»\n"),
    ("py-iso-8859-15", "iso-8859-15", "100 €, Œuvre\n"),
    ("py-windows-1256", "windows-1256", "مرحبا بالعالم\n"),
    ("py-tis-620", "tis-620", "สวัสดี\n"),
]:
    message = modern(f"{charset}: {words.strip()}")
    message.set_content(words, charset=charset, cte="base64")
    write(name, message)

message = modern("관련 이미지와 대안", Group("모두", (Address("김", "kim", "example.net"), Address("이", "lee", "example.com"))))
message.set_content("글\n")
message.add_alternative('<p>글 <img src="cid:a@py"></p>', subtype="html")
message.get_payload()[1].add_related(PNG, "image", "png", cid="<a@py>", filename="그림.png", disposition="inline")
message.add_attachment("표,둘\n".encode("euc-kr"), "text", "csv", filename="표 둘.csv", params={"charset": "euc-kr"})
message.add_attachment(b"%PDF-1.4", "application", "pdf", filename="보고서 — 아주 긴 이름으로 된 파일 이름이 여러 줄을 넘는 경우.pdf")
write("py-add-related", message)

message = modern("8bit")
message.set_content("8비트 본문\n", cte="8bit")
message["X-Long"] = "낱말 " * 60
write("py-smtputf8-headers", message, policy.SMTPUTF8)

message = modern("전달")
message.set_content("아래에 원문.\n")
inner = modern("원문 제목")
inner.set_content("원문 본문\n")
message.add_attachment(inner)
write("py-nested-message", message)

# The older interface, as thousands of scripts were copied from one another.
message = MIMEMultipart()
message["From"] = "monitor@example.org"
message["To"] = ", ".join(["ops@example.net", "boss@example.com"])
message["Subject"] = str(Header("서버 경고: 디스크 91%", "utf-8"))
message.attach(MIMEText("디스크가 찼습니다.\n", "plain", "utf-8"))
part = MIMEBase("application", "octet-stream")
part.set_payload(b"log line\n" * 3)
encoders.encode_base64(part)
part.add_header("Content-Disposition", "attachment; filename= 로그 파일.log")
message.attach(part)
write("py-old-script", message, OLD)

message = MIMEMultipart("alternative")
message["From"] = str(Header("박영희", "euc-kr")) + " <park@example.org>"
message["To"] = "kim@example.net"
message["Subject"] = Header("두 글자셋의 제목: 한글과 日本語", "utf-8", maxlinelen=40)
korean = charsets.Charset("euc-kr")
korean.body_encoding = charsets.QP
message.attach(MIMEText("안녕", "plain", "euc-kr"))
message.attach(MIMEText("<p>안녕</p>", "html", "utf-8"))
write("py-mixed-charsets", message, OLD)

message = MIMEMultipart()
message["From"] = "scanner@example.org"
message["To"] = "kim@example.net"
part = MIMEApplication(b"%PDF-1.4 scan", "pdf", Name="scan 1.pdf")
part.add_header("Content-Disposition", "attachment", filename=("utf-8", "ko", "스캔 1.pdf"))
message.attach(part)
message.attach(MIMEMessage(inner))
write("py-no-text", message, OLD)
