"""Sends the letter with Python's smtplib. Arguments: folder with letter.json, host, port, how many times."""

import json
import smtplib
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


def main():
    folder, host, port, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    letter = json.loads((folder / "letter.json").read_text(encoding="utf-8"))
    with smtplib.SMTP(host, port, timeout=20) as smtp:
        for number in range(count):
            refused = smtp.send_message(compose(folder, letter, number))
            if refused:
                sys.exit(f"refused: {refused}")


main()
