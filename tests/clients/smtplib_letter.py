"""Sends the letter with Python's smtplib. README.md beside this says what the arguments and variables are."""

import json
import os
import smtplib
import ssl
import sys
from email.headerregistry import Address
from email.message import EmailMessage
from pathlib import Path


def address(mailbox):
    return Address(mailbox["name"], addr_spec=mailbox["address"])


def compose(folder, letter, number):
    message = EmailMessage()
    message["From"] = address(letter["from"])
    message["To"] = [address(mailbox) for mailbox in letter["to"]]
    message["Cc"] = [address(mailbox) for mailbox in letter["cc"]]
    # send_message() takes the recipients from here and leaves the field out.
    message["Bcc"] = [address(mailbox) for mailbox in letter["bcc"]]
    message["Subject"] = letter["subject"]
    message["Message-ID"] = f"<{number}.{letter['message_id']}>"
    message.set_content(letter["text"])
    message.add_alternative(letter["html"], subtype="html")
    image = letter["image"]
    message.get_payload()[1].add_related(
        (folder / image["path"]).read_bytes(),
        *image["type"].split("/"),
        cid=f"<{image['cid']}>",
        filename=image["filename"],
        disposition="inline",
    )
    attachment = letter["attachment"]
    message.add_attachment(
        (folder / attachment["path"]).read_bytes(),
        *attachment["type"].split("/"),
        filename=attachment["filename"],
    )
    return message


def connect(host, port):
    context = ssl.create_default_context(cafile=os.environ.get("RELAY_CA"))
    if os.environ.get("RELAY_TLS_MAX") == "1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    tls = os.environ.get("RELAY_TLS", "none")
    if tls == "implicit":
        return smtplib.SMTP_SSL(host, port, timeout=20, context=context)
    smtp = smtplib.SMTP(host, port, timeout=20)
    if tls == "starttls":
        smtp.starttls(context=context)
    return smtp


def log_in(smtp):
    user, password = os.environ.get("RELAY_USER"), os.environ.get("RELAY_PASSWORD")
    if not user:
        return
    if os.environ.get("RELAY_MECHANISM") == "LOGIN":
        smtp.ehlo_or_helo_if_needed()
        smtp.user, smtp.password = user, password
        # Without an initial response: the server asks for both.
        smtp.auth("LOGIN", smtp.auth_login, initial_response_ok=False)
    else:
        smtp.login(user, password)


def main():
    folder, host, port, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    letter = json.loads((folder / "letter.json").read_text(encoding="utf-8"))
    with connect(host, port) as smtp:
        log_in(smtp)
        for number in range(count):
            refused = smtp.send_message(compose(folder, letter, number))
            if refused:
                sys.exit(f"refused: {refused}")


main()
