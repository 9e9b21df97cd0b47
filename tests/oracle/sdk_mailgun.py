"""Sends the message on standard input as MIME by Mailgun's SDK to the server given as the first argument."""

import sys

from mailgun.client import Client

import message


def main():
    mail = message.read()
    recipients = [person["address"] for field in ("to", "cc", "bcc") for person in mail[field]]
    client = Client(auth=("api", "key-oracle"), api_url=sys.argv[1])
    answer = client.mimemessage.create(
        domain="mg.example.org",
        data={"to": recipients, **mail["options"]},
        files={"message": ("message.mime", mail["raw"])},
    )
    answer.raise_for_status()


main()
